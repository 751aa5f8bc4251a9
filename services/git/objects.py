"""Reads many objects of a repository of ours in one command, by their names alone."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from services.git.command import Caps, Git


@dataclass(frozen=True, slots=True)
class Described:
    """What an object is, without its content."""

    sha: str
    kind: str
    size: int


async def described(git: Git, repository: Path, wanted: Iterable[str], caps: Caps) -> list[Described]:
    """Kind and size of each object."""
    lines = (await _batch(git, repository, "--batch-check=%(objectname) %(objecttype) %(objectsize)", wanted, caps)).splitlines()
    return [Described(sha.decode(), kind.decode(), int(size)) for sha, kind, size in (line.split(b" ") for line in lines)]


async def contents(git: Git, repository: Path, wanted: Iterable[str], caps: Caps) -> dict[str, bytes]:
    """The content of each object. Raises OutputTooLarge over the caps' bytes together.

    A small object can be a delta of a huge one, which git unfolds in memory: so the caps bound that too.
    """
    output = await _batch(git, repository, "--batch", wanted, caps)
    found: dict[str, bytes] = {}
    position = 0
    while position < len(output):
        end = output.index(b"\n", position)
        sha, _kind, size = output[position:end].split(b" ")
        found[sha.decode()] = output[end + 1 : end + 1 + int(size)]
        position = end + 2 + int(size)
    return found


async def _batch(git: Git, repository: Path, option: str, wanted: Iterable[str], caps: Caps) -> bytes:
    asked = "".join(f"{sha}\n" for sha in wanted).encode()
    if not asked:
        return b""
    return (await git.run("cat-file", option, repository=repository, stdin=asked, caps=caps)).required().output
