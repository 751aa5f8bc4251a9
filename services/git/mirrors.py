"""The disk cache: one bare mirror per owner and address. It can be lost at any time, and is never shared between owners.

Layout below the cache: `mirrors/<owner>/<sha256 of the url>.git`, with `.fetch` (one fetch at a time) and `.use` (shared by readers,
taken alone to repack or remove) beside it. When a mirror was used last is the time of its `.use`; lock files go with their mirror.
"""
# ruff: noqa: ASYNC240 - single calls on the local disk; whatever takes longer goes to a thread

import asyncio
import os
import shutil
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from services.git import complaints, refs
from services.git.addresses import RepositoryAddress
from services.git.command import Caps, Completed, Git, Remote
from services.git.errors import (
    CommandFailed,
    CommandTimedOut,
    LockTimedOut,
    NotARepository,
    RefNotFound,
    RepositoryEmpty,
    RepositoryTooLarge,
    Unreachable,
)
from services.git.locks import locked
from shared.events.ids import OwnerId

log = structlog.get_logger(__name__)

_MANY_PACKS = 20
_BLOCK_BYTES = 512  # of st_blocks: stat(2)
_OTHER_NAMES = b"mismatched algorithms"  # git's words when the remote names objects by SHA-256
_PACKET = b" packet: "
_FETCH = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance", "--refmap=")


@dataclass(frozen=True, slots=True)
class Base:
    """A commit in a mirror that stays readable while the context lasts."""

    mirror: Path
    commit_sha: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A mirror as the cache's bound sees it."""

    used_at: float
    size_bytes: int
    path: Path


class Mirrors:
    """Mirrors below `directory`; `caps` bound a fetch, `max_bytes` the whole cache."""

    def __init__(self, git: Git, directory: Path, *, caps: Caps, max_bytes: int) -> None:
        self._git = git
        self._root = directory / "mirrors"
        self._trash = directory / "trash"
        self._caps = caps
        self._max_bytes = max_bytes
        self.grown = asyncio.Event()
        """Set when something was fetched: the cache may be too large now."""
        for place in (self._root, self._trash):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, owner: OwnerId, address: RepositoryAddress) -> Path:
        """Where this owner's mirror of this address lies."""
        return self._root / owner / f"{address.digest}.git"

    @asynccontextmanager
    async def fetched(self, owner: OwnerId, remote: Remote, base_ref: str | None) -> AsyncGenerator[Base]:
        """The newest commit of `base_ref`, fetched now with this credential. Raises what `complaints.of_fetch` knows."""
        wanted = refs.wanted(base_ref)
        mirror = self.path(owner, remote.destination.address)
        async with locked(mirror.with_suffix(".fetch")) as fetch_lock:
            await self._tidy(mirror)
            async with locked(mirror.with_suffix(".use"), shared=True) as use_lock:
                os.utime(use_lock)
                try:
                    commit_sha = await self._fetch_or_begin_again(mirror, remote, wanted, (fetch_lock, use_lock))
                finally:
                    self.grown.set()
                keep = os.dup(use_lock)
        try:
            yield Base(mirror, commit_sha)
        finally:
            os.close(keep)

    @asynccontextmanager
    async def existing(self, owner: OwnerId, address: RepositoryAddress) -> AsyncGenerator[Path | None]:
        """The mirror as it is, without a word to the remote; None where there is none."""
        mirror = self.path(owner, address)
        if not mirror.parent.is_dir():
            yield None
            return
        async with locked(mirror.with_suffix(".use"), shared=True) as use_lock:
            os.utime(use_lock)
            yield mirror if mirror.is_dir() else None

    async def _fetch_or_begin_again(self, mirror: Path, remote: Remote, wanted: tuple[str, ...], hold: tuple[int, ...]) -> str:
        """A mirror that a crash or a full disk broke is thrown away and fetched anew, once."""
        known = mirror.is_dir()
        try:
            return await self._fetch(mirror, remote, wanted, hold)
        except CommandTimedOut as error:
            raise Unreachable("the fetch took too long") from error
        except CommandFailed as error:
            if not known:
                raise
            log.warning("mirror_broken", mirror=mirror.stem, error=str(error))
        await self._remove(mirror)
        return await self._fetch(mirror, remote, wanted, hold)

    async def _fetch(self, mirror: Path, remote: Remote, wanted: tuple[str, ...], hold: tuple[int, ...], *, sha256: bool = False) -> str:
        if not (mirror / "HEAD").is_file():
            await create_bare(self._git, mirror, sha256=sha256)
        for remote_ref in wanted:
            kept = refs.kept_as(remote_ref)
            done = await self._git.run(
                *_FETCH,
                "--end-of-options",
                remote.url,
                f"+{remote_ref}:{kept}",
                repository=mirror,
                remote=remote,
                caps=self._caps,
                hold=hold,
            )
            if done.code == 0:
                return await self._commit(mirror, kept)
            if _OTHER_NAMES in done.complaint and not sha256:
                await self._remove(mirror)
                return await self._fetch(mirror, remote, wanted, hold, sha256=True)
            error = RepositoryTooLarge if self._reached_limit(mirror) else complaints.of_fetch(done.complaint)
            if error is not RefNotFound:
                log.info("fetch_failed", mirror=mirror.stem, complaint=done.complaint[-2000:].decode("utf-8", "replace"))
                raise error("the remote refused the fetch") if error else _ours(done)
        await self._judge_no_ref(remote, wanted)
        raise RefNotFound("the remote has no such branch or tag")

    def _reached_limit(self, mirror: Path) -> bool:
        """Whether the killed command left a pack as large as it may be: git itself does not say so."""
        limit = self._caps.file_bytes
        return limit is not None and any(left.stat().st_size >= limit for left in (mirror / "objects/pack").glob("tmp_pack_*"))

    async def _commit(self, mirror: Path, ref: str) -> str:
        found = await self._git.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}", repository=mirror)
        if found.code != 0:
            raise RefNotFound("the ref names no commit")
        return found.text

    async def _judge_no_ref(self, remote: Remote, wanted: tuple[str, ...]) -> None:
        """Raise what tells more than that the ref was not found: there is no commit at all, or no git.

        git takes any answer that is not of its own protocol for a repository of plain files: of a page without a line break it reads
        that there are no refs. What is spoken is told by its trace, which holds no credential.
        """
        listed = await self._git.run(
            "ls-remote", "--end-of-options", remote.url,
            remote=remote, environment={"GIT_TRACE_PACKET": "1"}, caps=replace(self._caps, file_bytes=None), truncate=True,
        )  # fmt: skip
        if listed.output or listed.code != 0:
            return
        if _PACKET not in listed.complaint:
            raise NotARepository("the remote does not speak git")
        if wanted == ("HEAD",):
            raise RepositoryEmpty("the repository has no commits")

    async def _tidy(self, mirror: Path) -> None:
        """Under the fetch lock: drop what a killed git left, and join many small packs while nobody reads."""
        if not mirror.is_dir():
            return
        for pattern in ("*.lock", "refs/async-code/*.lock", "objects/pack/tmp_*"):
            for left in mirror.glob(pattern):
                left.unlink(missing_ok=True)
        if len(list((mirror / "objects/pack").glob("*.pack"))) <= _MANY_PACKS:
            return
        try:
            async with locked(mirror.with_suffix(".use"), wait_seconds=0) as use_lock:
                await self._git.run("repack", "--geometric=2", "-d", "-q", repository=mirror, hold=(use_lock,))
        except LockTimedOut:
            return

    async def _remove(self, mirror: Path) -> None:
        away = self._trash / uuid.uuid4().hex
        mirror.rename(away)
        await asyncio.to_thread(shutil.rmtree, away, ignore_errors=True)

    async def shrink(self) -> int:
        """Remove the mirrors used longest ago, except those in use, until the cache fits. Gives how many went."""
        self.grown.clear()
        mirrors = await asyncio.to_thread(self._measured)
        total, removed = sum(mirror.size_bytes for mirror in mirrors), 0
        for mirror in sorted(mirrors, key=lambda mirror: mirror.used_at):
            if total <= self._max_bytes:
                break
            if await self._removed_unless_used(mirror.path):
                total, removed = total - mirror.size_bytes, removed + 1
        return removed

    async def _removed_unless_used(self, mirror: Path) -> bool:
        """Whether nobody held it, and it is gone with its locks."""
        fetch, use = mirror.with_suffix(".fetch"), mirror.with_suffix(".use")
        try:
            async with locked(fetch, wait_seconds=0), locked(use, wait_seconds=0):
                if mirror.is_dir():
                    await self._remove(mirror)
                for lock in (use, fetch):
                    lock.unlink()
        except LockTimedOut:
            return False
        with suppress(OSError):  # other mirrors of this owner, or a lock taken meanwhile
            mirror.parent.rmdir()
        return True

    async def forget_locks(self) -> int:
        """Remove lock files that have no mirror, as fetches leave them that failed at once. Gives how many mirrors' locks went."""
        without = {lock.with_suffix(".git") for lock in self._root.glob("*/*.[fu]*") if not lock.with_suffix(".git").exists()}
        return sum([await self._removed_unless_used(mirror) for mirror in sorted(without)])

    def _measured(self) -> list[Kept]:
        def bytes_on_disk(mirror: Path) -> int:
            return sum(_lstat_bytes(path) for path in (mirror, *mirror.rglob("*")))

        def used_at(mirror: Path) -> float:
            try:
                return mirror.with_suffix(".use").stat().st_mtime
            except FileNotFoundError:
                return 0.0

        return [Kept(used_at(mirror), bytes_on_disk(mirror), mirror) for mirror in self._root.glob("*/*.git")]


def _lstat_bytes(path: Path) -> int:
    """What a file takes on the disk: of many small ones more than their lengths. 0 when it has just gone."""
    try:
        return path.lstat().st_blocks * _BLOCK_BYTES
    except FileNotFoundError:
        return 0


async def create_bare(git: Git, path: Path, *, sha256: bool = False) -> None:
    """An empty bare repository without hooks or templates, for objects named by SHA-1 or SHA-256."""
    names = "sha256" if sha256 else "sha1"
    (await git.run("init", "--quiet", "--bare", "--template=", "--initial-branch=base", f"--object-format={names}", path)).required()


def _ours(done: Completed) -> CommandFailed:
    return CommandFailed(f"fetch ended with {done.code}: {done.complaint[-2000:].decode('utf-8', 'replace')}")
