"""The way of a change through the git service's own functions, and the sandbox's side of it with plain git, for tests."""

import asyncio
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from services.git import commits, snapshots, takein
from services.git.command import Git, Remote
from services.git.commits import Identity, Provenance
from services.git.mirrors import Mirrors
from services.git.takein import Bounds, Taken, Work
from shared.events.ids import OwnerId, RunId, TaskId
from tests.servers import git_objects

MIB = 1024 * 1024
BOUNDS = Bounds(pack_bytes=8 * MIB, workspace_bytes=64 * MIB)
IDENTITY = Identity("Async Code", "async-code@localhost")
AUTHORED = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
PROVENANCE = Provenance(
    "Fix it", "shell", TaskId("22222222-2222-4222-8222-222222222222"), RunId("11111111-1111-4111-8111-111111111111"), AUTHORED
)


async def no_workspace(_path: Path) -> None:
    raise AssertionError("the mirror has the base")


@dataclass
class Line:
    """The service's parts in one directory."""

    git: Git
    mirrors: Mirrors
    directory: Path
    owner: OwnerId
    steps: int = 0

    def place(self) -> Path:
        """An empty directory."""
        self.steps += 1
        path = self.directory / f"step-{self.steps}"
        path.mkdir()
        return path

    async def snapshot(self, remote: Remote, base_ref: str | None = None, *, depth: int = 1, max_bytes: int = 64 * MIB) -> tuple[str, Path]:
        """The base commit and its archive."""
        async with self.mirrors.fetched(self.owner, remote, base_ref) as base:
            archive = await snapshots.make(self.git, base, self.place(), depth=depth, max_bytes=max_bytes, timeout_seconds=60)
            return base.commit_sha, archive

    async def take_in(
        self, remote: Remote, base: str, tree: str, pack: bytes, workspace: Path | None = None, bounds: Bounds = BOUNDS
    ) -> Taken:
        """Take in a pack, from the mirror's base or, when `workspace` is given, from that archive."""
        place = self.place()
        (place / "result.pack").write_bytes(pack)

        async def copy(path: Path) -> None:
            assert workspace is not None
            await asyncio.to_thread(shutil.copyfile, workspace, path)

        work = Work(base, tree, place / "result.pack", no_workspace if workspace is None else copy)
        async with self.mirrors.existing(self.owner, remote.destination.address) as mirror:
            return await takein.take_in(self.git, place, None if workspace else mirror, work, bounds)

    async def commit(self, taken: Taken, provenance: Provenance = PROVENANCE) -> str:
        """The commit of what was taken in."""
        return await commits.commit(self.git, taken, provenance, IDENTITY)


def sandbox(archive: Path, directory: Path, edit: Callable[[Path], None]) -> tuple[str, str, bytes]:
    """What a sandbox does with a snapshot: unpack, check out, edit, write the tree and a thin pack. Gives base, tree and pack."""
    with tarfile.open(archive) as tar:
        tar.extractall(directory)  # noqa: S202 - our own archive, in a test
    git_objects.git(directory, "clone", "--quiet", directory / "repo.git", "work")
    work = directory / "work"
    base = git_objects.git(work, "rev-parse", "HEAD").decode().strip()
    edit(work)
    git_objects.git(work, "add", "--all", "--force")
    tree = git_objects.git(work, "write-tree").decode().strip()
    return base, tree, git_objects.thin_pack(work, tree, base)


def applied(repository: Path, base: str, patch: Path) -> str:
    """The tree that `git apply` makes of the base and the patch."""
    index = repository / "apply-index"
    index.unlink(missing_ok=True)
    git_objects.git(repository, "read-tree", base, GIT_INDEX_FILE=str(index))
    if patch.stat().st_size:
        git_objects.git(repository, "apply", "--cached", "--whitespace=nowarn", patch, GIT_INDEX_FILE=str(index))
    return git_objects.git(repository, "write-tree", GIT_INDEX_FILE=str(index)).decode().strip()


def fsck(repository: Path) -> None:
    """The repository is sound."""
    subprocess.run(["git", "-C", repository, "fsck", "--strict", "--no-dangling"], check=True, capture_output=True)  # noqa: S607
