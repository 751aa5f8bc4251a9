"""Which commits a sandbox is given with its snapshot, and which objects those are."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.git.command import Caps, Git


@dataclass(frozen=True, slots=True)
class Depth:
    """The commits within a depth, and those among them whose parents stay behind: git's own meaning of a clone's depth."""

    commits: tuple[str, ...]
    boundary: tuple[str, ...]


async def within(git: Git, repository: Path, commit_sha: str, depth: int) -> Depth:
    """The commits at most `depth` - 1 steps from a commit."""
    seen, level, boundary = {commit_sha: None}, [commit_sha], list[str]()
    for step in range(depth):
        lines = await _with_parents(git, repository, level)
        if step == depth - 1:
            boundary = sorted(commit for commit, *parents in lines if parents)
            break
        level = list(dict.fromkeys(parent for _, *parents in lines for parent in parents if parent not in seen))
        seen |= dict.fromkeys(level)
        if not level:
            break
    return Depth(tuple(seen), tuple(boundary))


async def _with_parents(git: Git, repository: Path, commits: Sequence[str]) -> list[list[str]]:
    asked = "".join(f"{commit}\n" for commit in commits).encode()
    listed = await git.run("rev-list", "--no-walk", "--parents", "--stdin", repository=repository, stdin=asked)
    return [line.split() for line in listed.required().output.decode("ascii").splitlines()]


async def given(git: Git, repository: Path, commit_sha: str, depth: int, caps: Caps) -> frozenset[str]:
    """Every object of a snapshot at this commit: its commits, their trees, and what those hold."""
    commits = (await within(git, repository, commit_sha, depth)).commits
    asked = "".join(f"{commit}\n" for commit in commits).encode()
    arguments = ("rev-list", "--objects", "--no-object-names", "--no-walk", "--stdin")
    listed = await git.run(*arguments, repository=repository, stdin=asked, caps=caps)
    return frozenset(listed.required().output.decode("ascii").split())
