"""A sandbox that hands in whatever it likes: objects no git would write, packs made byte by byte, and what the service says to them."""

import hashlib
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.git.command import Caps, Completed, Git, Remote
from services.git.errors import Refused
from services.git.takein import Bounds, Taken
from tests.integration.services.git.line import BOUNDS, Line
from tests.servers import git_objects

COMMIT, TREE, BLOB, TAG, REF_DELTA = 1, 2, 3, 4, 7
"""Kinds of objects in a pack: gitformat-pack(5)."""
TAKEN_IN = "taken in"


class Watched(Git):
    """Real git; notes the limits of each command."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.started: list[tuple[str, Caps | None]] = []

    async def run(self, *arguments: Any, **options: Any) -> Completed:
        self.started.append((str(arguments[0]), options.get("caps")))
        return await super().run(*arguments, **options)


@dataclass
class Attack:
    """A repository with a base, a sandbox's own objects beside it, and a line to hand packs in on."""

    line: Line
    remote: Remote
    repository: Path
    base: str
    blob: str = field(init=False)
    workspace: Path | None = None
    """The snapshot's archive, where the mirror is to be taken for lost."""

    def __post_init__(self) -> None:
        self.blob = git_objects.write_blob(self.repository, b"payload\n")

    def packed(self, *objects: str) -> bytes:
        """A pack of exactly these objects, whatever they refer to."""
        return git_objects.git(self.repository, "pack-objects", "--stdout", "-q", stdin="".join(f"{sha}\n" for sha in objects).encode())

    def tree(self, *entries: tuple[bytes, bytes, str]) -> str:
        """A tree that no check has seen."""
        return git_objects.raw_tree(self.repository, *entries)

    def reachable(self, tree: str) -> bytes:
        """A pack of the tree and everything it holds."""
        listed = git_objects.git(self.repository, "rev-list", "--objects", "--no-object-names", tree).decode().split()
        return self.packed(*listed)

    async def hand_in(self, tree: str, pack: bytes, bounds: Bounds = BOUNDS) -> Taken:
        """What the service makes of it."""
        return await self.line.take_in(self.remote, self.base, tree, pack, workspace=self.workspace, bounds=bounds)

    async def verdict(self, tree: str, pack: bytes, bounds: Bounds = BOUNDS) -> str:
        """`code: why`, or `taken in`."""
        try:
            await self.hand_in(tree, pack, bounds)
        except Refused as refused:
            return f"{refused.code}: {refused}"
        return TAKEN_IN


async def verdicts(cases: Mapping[str, Callable[[], Awaitable[str]]]) -> dict[str, str]:
    """Each case's verdict, one after the other."""
    return {name: await judge() for name, judge in cases.items()}


def object_sha(kind: str, content: bytes) -> str:
    """The name git gives an object."""
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content).hexdigest()  # noqa: S324 - git's own digest


def entry(kind: int, content: bytes, *, base: str = "", size: int | None = None) -> bytes:
    """One object of a pack; `size` when the pack shall lie about it."""
    return head(kind, len(content) if size is None else size) + bytes.fromhex(base) + zlib.compress(content, 9)


def head(kind: int, size: int) -> bytes:
    """The head of an object in a pack."""
    byte, rest = (kind << 4) | (size & 15), size >> 4
    made = bytearray()
    while rest:
        made.append(byte | 0x80)
        byte, rest = rest & 0x7F, rest >> 7
    return bytes((*made, byte))


def sealed(entries: Iterable[bytes], *, count: int | None = None) -> bytes:
    """A pack of these entries with a right checksum; `count` when it shall lie about their number."""
    listed = list(entries)
    body = b"PACK\0\0\0\2" + (len(listed) if count is None else count).to_bytes(4, "big") + b"".join(listed)
    return body + hashlib.sha1(body).digest()  # noqa: S324 - git's own trailer


def zeros(mebibytes: int) -> bytes:
    """A blob of zeros as an object of a pack: about a thousandth of its size."""
    packer = zlib.compressobj(9)
    return head(BLOB, mebibytes << 20) + b"".join(packer.compress(bytes(1 << 20)) for _ in range(mebibytes)) + packer.flush()


def copying(base_size: int, *, times: int) -> bytes:
    """A delta that copies the whole base, again and again: `times` such bases out of a few bytes."""
    copy = b"\xff" + b"\0\0\0\0" + (base_size & 0xFFFFFF).to_bytes(3, "little")
    return _varint(base_size) + _varint(base_size * times) + copy * times


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*made, number))
