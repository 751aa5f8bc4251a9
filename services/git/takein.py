"""Takes in what a sandbox made, as a git server takes a push: a pack into a quarantine repository, checked before anything uses it.

No worktree, no checkout, no hook; a directory or configuration from a sandbox is never opened.
"""
# ruff: noqa: ASYNC240 - single calls on the local disk; whatever takes longer goes to a thread

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from signal import SIGXFSZ

import structlog

from services.git import archives, complaints, history, lfs, objects, packs, trees
from services.git.command import MIB, Caps, Completed, Git
from services.git.errors import CommandTimedOut, PackRefused, ResultTooLarge, TreeMismatch, WorkMissing
from services.git.mirrors import create_bare
from services.git.packs import Packed
from services.git.together import both
from services.git.trees import Entry

log = structlog.get_logger(__name__)

_SMALL_WINDOWS = ("core.packedGitWindowSize=16m", "core.packedGitLimit=512m")
"""So that a mirror's packs do not use up the address space that guards against unfolding packs."""


_SHA256_LENGTH = 64
_EMPTY_TREES = frozenset(digest(b"tree 0\0").hexdigest() for digest in (hashlib.sha1, hashlib.sha256))
"""git knows it without having it, so no pack brings it."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a pack may be and cost."""

    pack_bytes: int
    workspace_bytes: int
    depth: int = 1
    """Commits of history the sandbox was given."""
    memory_bytes: int = 4096 * MIB
    listing_bytes: int = 128 * MIB
    timeout_seconds: float = 300.0
    objects: int = 1_000_000
    """That a pack brings."""
    unfolded_bytes: int = 4096 * MIB
    """Of all objects that a pack brings."""
    tree_bytes: int = 64 * MIB
    """Of the trees among them."""
    entries: int = 1_000_000
    """Of the tree as a whole: each costs this process some hundred bytes."""

    def caps(self) -> Caps:
        """The caps of one command that reads the work."""
        return Caps(
            timeout_seconds=self.timeout_seconds,
            output_bytes=self.listing_bytes,
            file_bytes=self.pack_bytes + self.workspace_bytes,  # --fix-thin appends whole base objects
            memory_bytes=self.memory_bytes,
        )


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
    packed = await _index(git, repository, work.pack, bounds)
    return Taken(repository, work.base_sha, work.tree_sha, await _verified(git, repository, work, packed, bounds))


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


async def _index(git: Git, repository: Path, pack: Path, bounds: Bounds) -> Packed:
    size = pack.stat().st_size
    if size > bounds.pack_bytes:
        raise ResultTooLarge("the pack is over the limit")
    packs.judge_head(pack, bounds.objects)
    try:
        done = await _bounded(
            git, repository, bounds, "index-pack", "--stdin", "--fix-thin", "--strict", "--threads=1",
            f"--max-input-size={bounds.pack_bytes}", stdin=pack,
        )  # fmt: skip
    except CommandTimedOut as error:
        raise PackRefused("the pack takes too long to read") from error
    if done.code == -SIGXFSZ:  # of whole base objects that a thin pack had it append: it dies without a word
        raise ResultTooLarge("the pack unfolds to a larger one than it may")
    if done.code != 0:
        log.warning("pack_refused", complaint=done.complaint[-2000:].decode("utf-8", "replace"))
        raise complaints.of_index(done.complaint)(f"git refused the pack: {complaints.reason(done.complaint)}")
    index = repository / f"objects/pack/pack-{done.text.rpartition(chr(9))[2]}.idx"
    names = "sha256" if len(index.stem) > _SHA256_LENGTH else "sha1"
    listed = (await _bounded(git, repository, bounds, "show-index", f"--object-format={names}", stdin=index)).required()
    return await asyncio.to_thread(packs.parted, listed.output, size, 32 if names == "sha256" else 20)


async def _verified(git: Git, repository: Path, work: Work, packed: Packed, bounds: Bounds) -> tuple[Entry, ...]:
    """Every entry of the tree, judged. What is hostile to git itself is judged before git walks it."""
    kind = await git.run("cat-file", "-t", work.tree_sha, repository=repository, caps=bounds.caps())
    if kind.text != "tree":
        raise TreeMismatch("the pack does not bring the tree that was announced")
    await _judge_brought(git, repository, packed, len(work.tree_sha) // 2, bounds)
    connected = await _bounded(git, repository, bounds, "rev-list", "--objects", "--quiet", work.tree_sha)
    if connected.code != 0:
        raise PackRefused("the tree refers to objects that are not there")
    made, based = await both(_entries(git, repository, work.tree_sha, bounds), _entries(git, repository, work.base_sha, bounds))
    await asyncio.to_thread(trees.judge, made, based)
    named = {work.tree_sha, *(entry.sha for entry in made if entry.mode != trees.GITLINK)}
    # What was borrowed counts also where a delta made it once more: then the pack brings it, out of our own copy.
    used = (named - packed.brought) | packed.borrowed
    await _judge_origin(git, repository, work, used.difference(entry.sha for entry in based), bounds)
    await lfs.judge(git, repository, work.tree_sha, (made, based), bounds.caps())
    return made


async def _judge_brought(git: Git, repository: Path, packed: Packed, sha_bytes: int, bounds: Bounds) -> None:
    brought = await objects.described(git, repository, packed.brought, bounds.caps())
    stored = packs.judge_sizes(brought, unfolded_bytes=bounds.unfolded_bytes, tree_bytes=bounds.tree_bytes)
    contents = await objects.contents(git, repository, stored, bounds.caps())

    def judge() -> None:
        for content in contents.values():
            trees.judge_stored(content, sha_bytes)
        packs.judge_nesting(contents, sha_bytes, bounds.entries)

    await asyncio.to_thread(judge)


async def _entries(git: Git, repository: Path, treeish: str, bounds: Bounds) -> tuple[Entry, ...]:
    listed = (await _bounded(git, repository, bounds, "ls-tree", "-r", "-t", "-z", treeish)).required().output
    if listed.count(b"\0") > bounds.entries:
        raise ResultTooLarge(f"the tree holds more than {bounds.entries} entries")
    return await asyncio.to_thread(lambda: tuple(trees.parse(listed)))


async def _judge_origin(git: Git, repository: Path, work: Work, strangers: set[str], bounds: Bounds) -> None:
    """Raise PackRefused when any of the objects that the pack did not bring was not given to the sandbox either.

    The repository beside it holds more: other branches, and what their histories once held. Who knows no more than a digest of such an
    object must not get at its content by naming it in a tree, or by a delta on it.
    """
    strangers = strangers - _EMPTY_TREES
    if strangers and not strangers <= await history.given(git, repository, work.base_sha, bounds.depth, bounds.caps()):
        log.warning("objects_not_given", count=len(strangers))
        raise PackRefused("the work uses objects that the sandbox was never given")


async def _bounded(git: Git, repository: Path, bounds: Bounds, *arguments: str, stdin: Path | bytes = b"") -> Completed:
    return await git.run(*arguments, repository=repository, stdin=stdin, config=_SMALL_WINDOWS, caps=bounds.caps())
