"""`git.prepare` and `git.publish`: message in, work, exactly one ending fact out, as often as the command is delivered.

No address, name, title or word of a remote enters a fact: ids, hashes, counts and codes alone.
"""

import asyncio
import shutil
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from services.git import commits, diffs, errors, pushes, snapshots, takein
from services.git.command import Caps, Git, Remote
from services.git.commits import Identity, Provenance
from services.git.diffs import Diff, Sizes
from services.git.mirrors import Mirrors
from services.git.ports import Blobs, Messages, Turn
from services.git.protected import Protection
from services.git.remotes import Remotes
from services.git.takein import Bounds, Taken, Work
from services.git.together import both
from shared.blobs.errors import BlobCorrupt, BlobMissing, BlobStoreFull, BlobTooLarge
from shared.bus import errors as bus_errors
from shared.events import envelope as envelopes
from shared.events.catalogue import ENDINGS
from shared.events.commands import GitPrepare, GitPublish
from shared.events.envelope import AnyEnvelope
from shared.events.facts import ChangeFailed, ChangeHeld, ChangePrepared, ChangePublished, WorkspaceFailed, WorkspacePrepared
from shared.events.failures import Failure, failure
from shared.events.ids import OwnerId, TaskId
from shared.events.payload import Fact
from shared.events.questions import AskPublication, AskWorkspaceSource, Publication
from shared.events.values import BlobClass, BlobRef, PublishPolicy

log = structlog.get_logger(__name__)

SOURCE = "git"


_AWAY = (bus_errors.NoAnswer, bus_errors.BusUnreachable, bus_errors.ReadFailed)
_AWAY_SECONDS = 1.0


class TryAgain(bus_errors.Transient):
    """What the work needs did not answer; it may do so later."""


@dataclass(frozen=True, slots=True)
class Measures:
    """The operator's limits, as the work needs them."""

    attempts: int
    depth: int
    workspace_bytes: int
    local_seconds: float
    push: Caps
    bounds: Bounds
    sizes: Sizes
    identity: Identity


@dataclass(frozen=True, slots=True)
class Job:
    """Whose command it is."""

    envelope: AnyEnvelope

    @property
    def owner(self) -> OwnerId:
        """The task's owner."""
        return OwnerId(self.envelope.owner)

    @property
    def task(self) -> TaskId:
        """The task."""
        return TaskId(self.envelope.task)


class Handlers:
    """Handles the commands of the durable `git`."""

    def __init__(
        self, messages: Messages, blobs: Blobs, remotes: Remotes, git: Git, mirrors: Mirrors, *, work_dir: Path, measures: Measures
    ) -> None:
        self._messages = messages
        self._blobs = blobs
        self._remotes = remotes
        self._git = git
        self._mirrors = mirrors
        self._work_dir = work_dir
        self._measures = measures

    async def handle(self, envelope: AnyEnvelope, delivery: Turn) -> None:
        """Do what the command asks. Raises Transient or Postpone where a later delivery may succeed."""
        job, command = Job(envelope), envelope.data
        with structlog.contextvars.bound_contextvars(command=envelope.type, command_id=envelope.id, task_id=envelope.task):
            if isinstance(command, GitPrepare):
                await self._end(job, delivery, lambda: self._prepare(job, command), lambda why: WorkspaceFailed(failure=why))
            elif isinstance(command, GitPublish):
                run_id = command.run_id
                await self._end(job, delivery, lambda: self._publish(job, command), lambda why: ChangeFailed(run_id=run_id, failure=why))
            else:
                raise bus_errors.Terminal("the git service has no such command")

    async def _end(self, job: Job, delivery: Turn, work: Callable[[], Awaitable[Fact]], failed: Callable[[Failure], Fact]) -> None:
        if await self._has_ended(job):
            log.info("command_had_ended")
            return
        try:
            fact = await work()
        except errors.Refused as error:
            log.warning("command_refused", code=error.code, detail=str(error))
            fact = failed(failure(error.code))
        except _AWAY as error:  # our own side: nobody decided anything, and how long a task may wait for that is the scheduler's to say
            log.warning("command_waits", error=type(error).__name__, deliveries=delivery.deliveries)
            raise bus_errors.Postpone(_AWAY_SECONDS) from error
        except (errors.Unreachable, bus_errors.Transient) as error:
            if delivery.deliveries < self._measures.attempts:
                raise TryAgain(type(error).__name__) from error
            code = error.code if isinstance(error, errors.Unreachable) else "internal"
            log.warning("command_given_up", code=code, error=type(error).__name__, deliveries=delivery.deliveries)
            fact = failed(failure(code))
        await self._say(job, fact)

    async def _has_ended(self, job: Job) -> bool:
        for ending in ENDINGS[type(job.envelope.data)]:
            last = await self._messages.last_fact(envelopes.subject(ending, job.envelope.owner, job.envelope.task))
            if last is not None and last.causationid == job.envelope.id:
                return True
        return False

    async def _say(self, job: Job, fact: Fact) -> None:
        await self._messages.publish(envelopes.new(fact, source=SOURCE, owner=job.owner, task=job.task, cause=job.envelope.id))
        log.info("fact_published", fact=fact.TYPE)

    async def _prepare(self, job: Job, command: GitPrepare) -> Fact:
        try:
            source = await self._messages.ask(AskWorkspaceSource(owner=job.owner, task_id=job.task, repository_id=command.repository_id))
        except bus_errors.Refused as error:
            raise errors.RepositoryNotFound("the gateway knows no such repository") from error
        remote = await self._remotes.remote(self._remotes.address(source.url), job.owner, job.task, command.credential)
        async with self._place(job) as place, self._mirrors.fetched(job.owner, remote, source.base_ref) as base:
            archive = await snapshots.make(
                self._git, base, place,
                depth=self._measures.depth, max_bytes=self._measures.workspace_bytes, timeout_seconds=self._measures.local_seconds,
            )  # fmt: skip
            with _storing(errors.RepositoryTooLarge):
                workspace = await self._blobs.put_file(BlobClass.WORKSPACE, archive)
            return WorkspacePrepared(base_sha=base.commit_sha, workspace=workspace)

    async def _publish(self, job: Job, command: GitPublish) -> Fact:
        try:
            publication = await self._messages.ask(AskPublication(owner=job.owner, task_id=job.task, repository_id=command.repository_id))
        except bus_errors.Refused as error:
            raise errors.PushRefused("the gateway knows no such repository") from error
        address = self._remotes.address(publication.url)
        async with self._place(job) as place, self._mirrors.existing(job.owner, address) as mirror:
            with _reading():
                taken = await self._take_in(place, mirror, command)
                diff = await self._show(job, command, publication, taken, place)
            held = _held(command, diff)
            if held is not None:
                return held
            commit_sha = await commits.commit(
                self._git,
                taken,
                Provenance(publication.title, command.agent, job.task, command.run_id, command.authored_at),
                self._measures.identity,
            )
            remote = await self._remote_for_push(job, command, publication)
            await pushes.push(
                self._git, taken.repository, remote, commit_sha=commit_sha, branch=publication.branch, caps=self._measures.push
            )
            return ChangePublished(run_id=command.run_id, commit_sha=commit_sha, tree_sha=command.tree_sha)

    async def _take_in(self, place: Path, mirror: Path | None, command: GitPublish) -> Taken:
        pack = place / "result.pack"
        await self._fetch_blob(command.result, pack, self._measures.bounds.pack_bytes)

        async def workspace(path: Path) -> None:
            await self._fetch_blob(command.workspace, path, self._measures.bounds.workspace_bytes)

        return await takein.take_in(
            self._git, place, mirror, Work(command.base_sha, command.tree_sha, pack, workspace), self._measures.bounds
        )

    async def _show(self, job: Job, command: GitPublish, publication: Publication, taken: Taken, place: Path) -> Diff:
        """Store what a reviewer sees and say so, before anything is pushed."""
        sizes = self._measures.sizes
        diff, _ = await both(
            diffs.changes(self._git, taken, Protection(publication.protected_paths), sizes),
            diffs.write_patch(self._git, taken, place / "patch", sizes),
        )
        with _storing(errors.ResultTooLarge):
            patch, changes = await both(
                self._blobs.put_file(BlobClass.CHANGES, place / "patch"),
                self._blobs.put_bytes(BlobClass.CHANGES, diff.document.model_dump_json().encode()),
            )
        prepared = ChangePrepared(
            run_id=command.run_id, base_sha=command.base_sha, tree_sha=command.tree_sha, patch=patch, changes=changes,
            files=diff.files, additions=diff.additions, deletions=diff.deletions, protected_files=diff.protected_files,
        )  # fmt: skip
        await self._say(job, prepared)
        return diff

    async def _remote_for_push(self, job: Job, command: GitPublish, publication: Publication) -> Remote:
        try:
            return await self._remotes.remote(self._remotes.address(publication.url), job.owner, job.task, command.credential)
        except errors.RepositoryAuth as error:
            raise errors.PushAuth(str(error)) from error
        except errors.Unreachable as error:
            raise errors.PushUnreachable(str(error)) from error

    async def _fetch_blob(self, ref: BlobRef, path: Path, max_bytes: int) -> None:
        if ref.size_bytes > max_bytes:
            raise errors.ResultTooLarge(f"the {ref.blob_class} blob is over {max_bytes} bytes")
        try:
            await self._blobs.get_file(ref, path)
        except (BlobMissing, BlobCorrupt) as error:
            raise errors.WorkMissing(f"the {ref.blob_class} blob is not to be had") from error

    @asynccontextmanager
    async def _place(self, job: Job) -> AsyncGenerator[Path]:
        """An empty directory for one command's files, named after the task, gone before the command's end is said."""
        place = self._work_dir / f"{job.task}.{uuid.uuid4().hex}"
        place.mkdir(mode=0o700)
        try:
            yield place
        finally:
            await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)


def _held(command: GitPublish, diff: Diff) -> ChangeHeld | None:
    """Why nothing is pushed yet; None: go on."""
    if command.approved:
        return None
    if diff.protected_files:
        return ChangeHeld(run_id=command.run_id, tree_sha=command.tree_sha, reason="protected_paths")
    if command.publish_policy is not PublishPolicy.AUTO:
        return ChangeHeld(run_id=command.run_id, tree_sha=command.tree_sha, reason="policy")
    return None


@contextmanager
def _reading() -> Generator[None]:
    """What a sandbox made may be built to be too much for git: that ends the command, or the scheduler would send it again and again."""
    try:
        yield
    except (errors.CommandTimedOut, errors.OutputTooLarge) as error:
        raise errors.ResultTooLarge("reading the work takes too much") from error
    except errors.CommandFailed as error:
        raise errors.WorkUnreadable("git cannot read the work") from error


@contextmanager
def _storing(too_large: type[errors.Refused]) -> Generator[None]:
    try:
        yield
    except BlobTooLarge as error:
        raise too_large("the blob is over its class's cap") from error
    except BlobStoreFull as error:
        raise errors.StorageFull(f"no room in {error}") from error
