"""Reads what our scripts in a sandbox write. Every byte is untrusted; nothing is opened or run here.

A harvest is one line, then a pack.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from services.runner.errors import CheckoutFailed, HarvestInvalid, ResultTooLarge
from services.runner.sandbox import Elsewhere, Harvest

_HEAD = re.compile(rb"(tree|same) ([0-9a-f]{40}|[0-9a-f]{64}) ([0-9]{1,9}) ([0-9]{1,9})")
_ELSEWHERE = re.compile(r"lfs ([0-9]{1,9}) submodules ([0-9]{1,9})\n")
_MAX_HEAD_BYTES = 128
_PACK_MAGIC = b"PACK"  # gitformat-pack(5)


def elsewhere(said: str) -> Elsewhere:
    """What `keep-index` counted: its first line, before anything that may quote a repository. Raises CheckoutFailed."""
    match = _ELSEWHERE.match(said)
    if match is None:
        raise CheckoutFailed(f"keep-index begins with {said[:_MAX_HEAD_BYTES]!r}")
    return Elsewhere(int(match[1]), int(match[2]))


@dataclass(frozen=True)
class _Head:
    changed: bool
    tree_sha: str
    special_files: int
    ignored: int


def _head(line: bytes) -> _Head:
    match = _HEAD.fullmatch(line)
    if match is None:
        raise HarvestInvalid(f"the harvest begins with {line[:_MAX_HEAD_BYTES]!r}")
    return _Head(match[1] == b"tree", match[2].decode(), int(match[3]), int(match[4]))


class HarvestReader:
    """Takes the output in pieces, keeps the pack in a file, and never writes more than `max_bytes` of it."""

    def __init__(self, pack: Path, max_bytes: int) -> None:
        self._path = pack
        self._file: BinaryIO = pack.open("wb")
        self._max_bytes = max_bytes
        self._head: _Head | None = None
        self._line = b""
        self._begin = b""
        self._written = 0

    def feed(self, data: bytes) -> None:
        """Raises HarvestInvalid for a bad first line, ResultTooLarge for too long a pack."""
        if self._head is None:
            self._line += data
            line, newline, data = self._line.partition(b"\n")
            if not newline:
                if len(line) > _MAX_HEAD_BYTES:
                    raise HarvestInvalid("the harvest's first line does not end")
                return
            self._head = _head(line)
        self._written += len(data)
        if self._written > self._max_bytes:
            raise ResultTooLarge(f"the pack is over {self._max_bytes} bytes")
        self._begin = (self._begin + data[:4])[:4]
        self._file.write(data)

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()

    def result(self) -> Harvest:
        """What came. Raises HarvestInvalid when it is not a whole harvest."""
        self.close()
        if self._head is None:
            raise HarvestInvalid("the harvest said nothing")
        if self._head.changed != (self._begin == _PACK_MAGIC) or (not self._head.changed and self._written):
            raise HarvestInvalid("the harvest's pack does not fit its first line")
        pack = self._path if self._head.changed else None
        return Harvest(self._head.tree_sha, pack, self._head.special_files, self._head.ignored)
