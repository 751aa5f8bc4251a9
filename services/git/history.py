"""Which commits a sandbox is given with its snapshot, and which objects those are."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.git.command import Caps, Git

_WIDTH = 32
"""Commits for each step, listed at once, newest first. Where a history is wider, or its dates lie, a step asks for what it lacks."""


@dataclass(frozen=True, slots=True)
class Depth:
    """The commits within a depth, and those among them whose parents stay behind: git's own meaning of a clone's depth."""

    commits: tuple[str, ...]
    boundary: tuple[str, ...]


async def within(git: Git, repository: Path, commit_sha: str, depth: int) -> Depth:
    """The commits at most `depth` - 1 steps from a commit."""
    parents = await _parents(git, repository, "--parents", f"--max-count={1 + (depth - 1) * _WIDTH}", commits=[commit_sha])
    seen, level, boundary = {commit_sha: None}, [commit_sha], list[str]()
    for step in range(depth):
        if unknown := [commit for commit in level if commit not in parents]:
            parents |= await _parents(git, repository, "--parents", "--no-walk", commits=unknown)
        if step == depth - 1:
            boundary = sorted(commit for commit in level if parents[commit])
            break
        level = list(dict.fromkeys(parent for commit in level for parent in parents[commit] if parent not in seen))
        seen |= dict.fromkeys(level)
        if not level:
            break
    return Depth(tuple(seen), tuple(boundary))


async def _parents(git: Git, repository: Path, *arguments: str, commits: Sequence[str]) -> dict[str, list[str]]:
    asked = "".join(f"{commit}\n" for commit in commits).encode()
    listed = await git.run("rev-list", *arguments, "--stdin", repository=repository, stdin=asked)
    lines = (line.split() for line in listed.required().output.decode("ascii").splitlines())
    return {commit: parents for commit, *parents in lines}


async def given(git: Git, repository: Path, commit_sha: str, depth: int, caps: Caps) -> frozenset[str]:
    """Every object of a snapshot at this commit: its commits, their trees, and what those hold."""
    commits = (await within(git, repository, commit_sha, depth)).commits
    asked = "".join(f"{commit}\n" for commit in commits).encode()
    arguments = ("rev-list", "--objects", "--no-object-names", "--no-walk", "--stdin")
    listed = await git.run(*arguments, repository=repository, stdin=asked, caps=caps)
    return frozenset(listed.required().output.decode("ascii").split())
