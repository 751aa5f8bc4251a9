"""Reads many objects of a repository of ours in one command, by their names alone."""

from collections.abc import Iterable
from pathlib import Path

from services.git.command import MIB, Caps, Git


async def sizes(git: Git, repository: Path, wanted: Iterable[str]) -> dict[str, int]:
    """The size of each object."""
    output = await _batch(git, repository, "--batch-check=%(objectname) %(objectsize)", wanted, 64 * MIB)
    return {sha.decode(): int(size) for sha, size in (line.split(b" ") for line in output.splitlines())}


async def contents(git: Git, repository: Path, wanted: Iterable[str], limit: int) -> dict[str, bytes]:
    """The content of each object. Raises OutputTooLarge over `limit` bytes together."""
    output = await _batch(git, repository, "--batch", wanted, limit)
    found: dict[str, bytes] = {}
    position = 0
    while position < len(output):
        end = output.index(b"\n", position)
        sha, _kind, size = output[position:end].split(b" ")
        found[sha.decode()] = output[end + 1 : end + 1 + int(size)]
        position = end + 2 + int(size)
    return found


async def _batch(git: Git, repository: Path, option: str, wanted: Iterable[str], limit: int) -> bytes:
    asked = "".join(f"{sha}\n" for sha in wanted).encode()
    if not asked:
        return b""
    return (await git.run("cat-file", option, repository=repository, stdin=asked, caps=Caps(output_bytes=limit))).required().output
