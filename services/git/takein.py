"""Takes in what a sandbox made, as a git server takes a push: a pack into a quarantine repository, checked before anything uses it.

No worktree, no checkout, no hook; a directory or configuration from a sandbox is never opened.
"""
# ruff: noqa: ASYNC240 - single calls on the local disk; whatever takes longer goes to a thread

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from services.git import archives, complaints, objects, trees
from services.git.command import MIB, Caps, Completed, Git
from services.git.errors import CommandTimedOut, PackRefused, TreeMismatch, WorkMissing
from services.git.mirrors import create_bare
from services.git.trees import Entry

log = structlog.get_logger(__name__)

_SMALL_WINDOWS = ("core.packedGitWindowSize=16m", "core.packedGitLimit=512m")
"""So that a mirror's packs do not use up the address space that guards against unfolding packs."""


_SHA256_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a pack may be and cost."""

    pack_bytes: int
    workspace_bytes: int
    memory_bytes: int = 4096 * MIB
    listing_bytes: int = 256 * MIB
    timeout_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class Taken:
    """The quarantine repository, and every entry of the tree that came in."""

    repository: Path
    base_sha: str
    tree_sha: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """What to take in. `workspace` writes the snapshot's archive to a path: asked for only when the mirror lost the base."""

    base_sha: str
    tree_sha: str
    pack: Path
    workspace: Callable[[Path], Awaitable[None]]


async def take_in(git: Git, directory: Path, mirror: Path | None, work: Work, bounds: Bounds) -> Taken:
    """Let the pack into a new repository below the empty `directory`. Raises PackRefused, ResultTooLarge, TreeMismatch or WorkMissing."""
    repository = directory / "quarantine.git"
    await create_bare(git, repository, sha256=len(work.base_sha) == len(work.tree_sha) == _SHA256_LENGTH)
    if mirror is not None and await _holds(git, mirror, work.base_sha):
        (repository / "objects/info").mkdir(exist_ok=True)
        (repository / "objects/info/alternates").write_text(f"{mirror / 'objects'}\n")
    else:
        await _base_from_workspace(git, directory, repository, work, bounds)
    await _index(git, repository, work.pack, bounds)
    return Taken(repository, work.base_sha, work.tree_sha, await _verified(git, repository, work, bounds))


async def _holds(git: Git, mirror: Path, base_sha: str) -> bool:
    return (await git.run("cat-file", "-e", f"{base_sha}^{{commit}}", repository=mirror)).code == 0


async def _base_from_workspace(git: Git, directory: Path, repository: Path, work: Work, bounds: Bounds) -> None:
    archive, pack = directory / "workspace.tar", directory / "workspace.pack"
    await work.workspace(archive)
    boundary = await asyncio.to_thread(archives.read_pack, archive, pack, bounds.workspace_bytes)
    done = await git.run("index-pack", "--stdin", repository=repository, stdin=pack, caps=Caps(timeout_seconds=bounds.timeout_seconds))
    if done.code != 0 or not await _holds(git, repository, work.base_sha):
        raise WorkMissing("the workspace does not hold the base commit")
    if boundary:
        (repository / "shallow").write_text("".join(f"{commit}\n" for commit in boundary))
    archive.unlink()
    pack.unlink()
    log.info("base_from_workspace", base_sha=work.base_sha)


async def _index(git: Git, repository: Path, pack: Path, bounds: Bounds) -> None:
    if pack.stat().st_size > bounds.pack_bytes:
        raise complaints.of_index(b"pack exceeds maximum allowed size")("the pack is over the limit")
    try:
        done = await _bounded(
            git, repository, bounds, "index-pack", "--stdin", "--fix-thin", "--strict", "--threads=1",
            f"--max-input-size={bounds.pack_bytes}", stdin=pack,
        )  # fmt: skip
    except CommandTimedOut as error:
        raise PackRefused("the pack takes too long to read") from error
    if done.code != 0:
        log.warning("pack_refused", complaint=done.complaint[-2000:].decode("utf-8", "replace"))
        raise complaints.of_index(done.complaint)("git refused the pack")


async def _verified(git: Git, repository: Path, work: Work, bounds: Bounds) -> tuple[Entry, ...]:
    kind = await git.run("cat-file", "-t", work.tree_sha, repository=repository)
    if kind.text != "tree":
        raise TreeMismatch("the pack does not bring the tree that was announced")
    connected = await _bounded(git, repository, bounds, "rev-list", "--objects", "--quiet", work.tree_sha)
    if connected.code != 0:
        raise PackRefused("the tree refers to objects that are not there")
    made, based = [
        tuple(trees.parse((await _bounded(git, repository, bounds, "ls-tree", "-r", "-t", "-z", treeish)).required().output))
        for treeish in (work.tree_sha, work.base_sha)
    ]
    await asyncio.to_thread(trees.judge, made, based)
    fresh = {work.tree_sha, *(entry.sha for entry in made if entry.mode == trees.TREE)}.difference(entry.sha for entry in based)
    for content in (await objects.contents(git, repository, fresh, bounds.listing_bytes)).values():
        trees.judge_stored(content, len(work.tree_sha) // 2)
    return made


async def _bounded(git: Git, repository: Path, bounds: Bounds, *arguments: str, stdin: Path | bytes = b"") -> Completed:
    caps = Caps(
        timeout_seconds=bounds.timeout_seconds,
        output_bytes=bounds.listing_bytes,
        file_bytes=bounds.pack_bytes + bounds.workspace_bytes,  # --fix-thin appends whole base objects
        memory_bytes=bounds.memory_bytes,
    )
    return await git.run(*arguments, repository=repository, stdin=stdin, config=_SMALL_WINDOWS, caps=caps)
