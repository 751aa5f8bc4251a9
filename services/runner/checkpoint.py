"""Reads what the script `checkpoint` writes: the session, then what the work is. Every byte is untrusted; nothing is opened or run here.

"session <bytes>", so many bytes, "same|base|whole|more <tree>", and where the tree is not known yet a pack.
"""

import re
from pathlib import Path
from typing import BinaryIO

from services.runner.errors import CheckpointRefused
from services.runner.sandbox import Growth, Taken

_SESSION = re.compile(rb"session ([1-9][0-9]{0,9})")
_TREE = re.compile(rb"(same|base|whole|more) ([0-9a-f]{40}|[0-9a-f]{64})")
_MAX_HEAD_BYTES = 128
_PACK_MAGIC = b"PACK"  # gitformat-pack(5)
_PACKED = (Growth.WHOLE, Growth.MORE)


class CheckpointReader:
    """Takes the output in pieces, and never writes more than was allowed of either file."""

    def __init__(self, room: Path, max_session_bytes: int, max_pack_bytes: int) -> None:
        self._session = room / "checkpoint.session"
        self._pack = room / "checkpoint.pack"
        self._files: tuple[BinaryIO, BinaryIO] = (self._session.open("wb"), self._pack.open("wb"))
        self._max_session_bytes = max_session_bytes
        self._left_of_pack = max_pack_bytes
        self._left_of_session: int | None = None
        """None: its head has not come."""
        self._tree: tuple[Growth, str] | None = None
        self._head = b""
        self._begin = b""

    def feed(self, data: bytes) -> None:
        """Raises CheckpointRefused where it is not as it should be, or too long."""
        if self._left_of_session is None:
            match, data = self._matched(_SESSION, data)
            if match is None:
                return
            self._left_of_session = int(match[1])
            if self._left_of_session > self._max_session_bytes:
                raise CheckpointRefused(f"the session is over {self._max_session_bytes} bytes")
        self._files[0].write(data[: self._left_of_session])
        data, self._left_of_session = data[self._left_of_session :], max(0, self._left_of_session - len(data))
        if self._tree is None:
            match, data = self._matched(_TREE, data)
            if match is None:
                return
            self._tree = Growth(match[1].decode()), match[2].decode()
        self._packed(data)

    def _matched(self, pattern: re.Pattern[bytes], data: bytes) -> tuple[re.Match[bytes] | None, bytes]:
        """The next line, once it is whole, and what comes after it."""
        line, newline, rest = (self._head + data).partition(b"\n")
        self._head = b"" if newline else line
        if len(line) > _MAX_HEAD_BYTES or (newline and pattern.fullmatch(line) is None):
            raise CheckpointRefused(f"the checkpoint says {line[:_MAX_HEAD_BYTES]!r}")
        return (pattern.fullmatch(line), rest) if newline else (None, b"")

    def _packed(self, data: bytes) -> None:
        self._left_of_pack -= len(data)
        if self._left_of_pack < 0:
            raise CheckpointRefused("the pack is over what a result may be")
        self._begin = (self._begin + data[: len(_PACK_MAGIC)])[: len(_PACK_MAGIC)]
        self._files[1].write(data)

    def close(self) -> None:
        """Lets go of the files."""
        for file in self._files:
            file.close()

    def result(self) -> Taken:
        """What came. Raises CheckpointRefused when it is not a whole checkpoint."""
        self.close()
        if self._tree is None:
            raise CheckpointRefused("the checkpoint does not come to its tree")
        growth, tree_sha = self._tree
        if self._begin != (_PACK_MAGIC if growth in _PACKED else b""):
            raise CheckpointRefused("the pack does not fit what is said of it")
        return Taken(self._session, tree_sha, growth, self._pack)
