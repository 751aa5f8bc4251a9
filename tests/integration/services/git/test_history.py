"""What a depth of history means, on histories of any shape: what git's own shallow clone makes of it."""

import asyncio
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from services.git import history
from services.git.command import Completed, Git
from tests.servers import git_objects


class Counting(Git):
    """How many processes it took."""

    started = 0

    async def run(self, *arguments: str | Path, **options: Any) -> Completed:
        self.started += 1
        return await super().run(*arguments, **options)


def woven(repository: Path, commits: int, parents: int, chance: random.Random, *, lying: bool) -> str:
    """A history with merges; where it is lying, dates go any way. Gives its head."""
    lines = list[bytes]()
    for number in range(commits):
        date = 1_700_000_000 + (chance.randrange(1_000_000) if lying else number)
        lines.append(b"commit refs/heads/main\nmark :%d\ncommitter T <t@example.org> %d +0000\ndata 0\n" % (number + 1, date))
        known = range(max(1, number - 8), number + 1)
        chosen = chance.sample(known, min(len(known), chance.randint(1, parents))) if number else []
        if number and number not in chosen:
            chosen = [number, *chosen[1:]]  # everything hangs together
        lines += [b"%s :%d\n" % (b"merge" if index else b"from", mark) for index, mark in enumerate(chosen)]
        lines.append(b"\n")
    git_objects.git(repository, "fast-import", "--quiet", "--force", stdin=b"".join(lines))
    return git_objects.branches(repository)["main"]


def by_a_clone(repository: Path, depth: int, into: Path) -> tuple[set[str], set[str]]:
    """The commits and the boundary of git's own clone of that depth."""
    subprocess.run(
        ["git", "clone", "--quiet", "--bare", f"--depth={depth}", f"file://{repository}", into],  # noqa: S607
        check=True,
        env={"PATH": "/usr/bin:/bin"},
    )
    boundary = (into / "shallow").read_text().split() if (into / "shallow").exists() else []
    return set(git_objects.git(into, "rev-list", "--all").decode().split()), set(boundary)


@pytest.mark.parametrize("depth", [1, 2, 7, 50])
@pytest.mark.parametrize("lying", [False, True])
async def test_it_is_what_a_shallow_clone_has(tmp_path: Path, depth: int, lying: bool) -> None:
    git, chance = Counting(tmp_path / "home"), random.Random(depth)  # noqa: S311 - a test's content
    for number, parents in enumerate((1, 2, 3)):
        repository = git_objects.init(tmp_path / f"r{number}")
        head = await asyncio.to_thread(woven, repository, 80, parents, chance, lying=lying)
        git.started = 0
        found = await history.within(git, repository, head, depth)
        commits, boundary = await asyncio.to_thread(by_a_clone, repository, depth, tmp_path / f"clone{number}")
        assert (set(found.commits), set(found.boundary)) == (commits, boundary)
        assert found.boundary == tuple(sorted(found.boundary))
        assert git.started == 1 or lying


async def test_a_history_wider_than_is_listed_at_once(tmp_path: Path) -> None:
    git, repository = Counting(tmp_path / "home"), git_objects.init(tmp_path / "r")
    tree = git_objects.write_tree(repository, {})
    firsts = [git_objects.write_commit(repository, tree, message=f"first {number}", branch=None) for number in range(40)]
    seconds = [git_objects.write_commit(repository, tree, first, message="second", branch=None) for first in firsts]
    head = git_objects.write_commit(repository, tree, *seconds)
    found = await history.within(git, repository, head, 2)
    assert (set(found.commits), set(found.boundary)) == ({head, *seconds}, set(seconds))
    assert git.started == 2
