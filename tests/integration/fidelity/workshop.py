"""The whole way of a change through real parts in one process: a git server, the git service's handlers, sandboxes of a Docker engine.

Only the bus and the blob store between them are plain objects, so that an example takes a second and not a stack.
"""

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from services.git import app
from services.git.command import Git
from services.git.handlers import Handlers
from services.git.mirrors import Mirrors
from services.git.remotes import Remotes
from services.git.settings import GitSettings
from services.runner.docker_factory import DockerSandboxes
from services.runner.errors import RunFailure
from services.runner.sandbox import Program, Sandbox, SandboxSpec, Stream
from shared.events import envelope as envelopes
from shared.events import ids
from shared.events.changes import ChangesDocument
from shared.events.commands import GitPrepare, GitPublish
from shared.events.facts import ChangeFailed, ChangePrepared, ChangePublished, WorkspacePrepared
from shared.events.ids import OwnerId, RepositoryId, RunId, TaskId
from shared.events.payload import Fact
from shared.events.questions import AskPublication, AskWorkspaceSource, Publication, WorkspaceSource
from shared.events.values import BlobClass, Limits, PublishPolicy
from shared.secrets.keyring import Keyring
from tests.integration.fidelity import worktree
from tests.integration.fidelity.worktree import WorkTree
from tests.integration.services.git.conftest import LOOPBACK
from tests.integration.services.git.fakes import Conversation, Folder
from tests.servers import git_import
from tests.servers.git import GitServer
from tests.servers.git_objects import Blob

MIB = 1024 * 1024
EDITOR = Path(__file__).with_name("inside.py").read_text()
BRANCH = "async-code/work"
LIMITS = Limits(memory_mib=512, disk_mib=192, pids=64, cpus=2, wall_seconds=120, idle_seconds=120)
F = TypeVar("F", bound=Fact)


@dataclass(frozen=True)
class Turn:
    deliveries: int = 1


@dataclass(frozen=True)
class Outcome:
    """How one work ended: `code` where it was refused, and what was published where it was not."""

    base_sha: str
    before: WorkTree
    after: WorkTree
    code: str | None = None
    prepared: ChangePrepared | None = None
    published: ChangePublished | None = None
    """None where nothing changed."""
    changes: ChangesDocument | None = None
    patch: Path | None = None


@dataclass
class Workshop:
    """One deployment's git service and runner host. Every work is a repository and a sandbox of its own."""

    directory: Path
    server: GitServer
    sandboxes: DockerSandboxes
    image: str
    conversation: Conversation = field(default_factory=Conversation)
    owner: OwnerId = field(default_factory=lambda: OwnerId(ids.fresh()))
    works: int = 0
    git_seconds: float = 0.0
    """That the git service took for the last work."""

    def __post_init__(self) -> None:
        for name in ("blobs", "work"):
            (self.directory / name).mkdir()
        self.blobs = Folder(self.directory / "blobs")
        measures = app.measures(GitSettings(keyring_file=self.directory / "unused", cache_dir=self.directory / "cache"))
        git = Git(self.directory / "home")
        self.handlers = Handlers(
            self.conversation, self.blobs, Remotes(self.conversation, Keyring.generate(), protocols={"http"}, reach=LOOPBACK), git,
            Mirrors(git, self.directory / "cache", caps=measures.push, max_bytes=1024**3),
            work_dir=self.directory / "work", measures=measures,
        )  # fmt: skip

    def repository(self, *commits: Mapping[bytes, Blob | None]) -> str:
        """A repository with these commits; gives its name."""
        self.works += 1
        name = f"work-{self.works}"
        git_import.commits(self.server.create(name), commits)
        return name

    def forget(self, name: str) -> None:
        """Give back the disk."""
        shutil.rmtree(self.server.path(name))
        for place in (self.directory / "blobs", self.directory / "cache/mirrors"):
            shutil.rmtree(place)
            place.mkdir()

    async def work(self, name: str, operations: Sequence[Sequence[str]], *, branch: str = BRANCH) -> Outcome:
        """A task on the repository whose agent does these operations (see `inside`)."""
        task = TaskId(ids.fresh())
        self.git_seconds = 0.0
        self.conversation.answers[AskWorkspaceSource] = WorkspaceSource(url=self.server.url(name))
        self.conversation.answers[AskPublication] = Publication(url=self.server.url(name), branch=branch, title="Work")
        workspace = await self._answer(task, GitPrepare(repository_id=RepositoryId(ids.fresh())), WorkspacePrepared)
        spec = self._spec(task, self.blobs.path(workspace.workspace).stat().st_size)
        sandbox = await self.sandboxes.create(spec)
        try:
            return await self._inside(sandbox, spec, workspace, operations)
        finally:
            await sandbox.kill()

    async def _inside(
        self, sandbox: Sandbox, spec: SandboxSpec, workspace: WorkspacePrepared, operations: Sequence[Sequence[str]]
    ) -> Outcome:
        await sandbox.load(self.blobs.path(workspace.workspace), workspace.base_sha)
        said, complaints = bytearray(), bytearray()

        async def hear(stream: Stream, data: bytes) -> None:
            (said if stream is Stream.STDOUT else complaints).extend(data)

        code = await sandbox.run(Program(("/usr/bin/python3", "-I", "-c", EDITOR), json.dumps(operations).encode()), hear)
        assert code == 0, complaints.decode("utf-8", "replace")
        await sandbox.stop_agent()
        before, after = worktree.read(bytes(said))
        outcome = Outcome(workspace.base_sha, before, after)
        pack = self.directory / f"{spec.run_id}.pack"
        try:
            harvest = await sandbox.harvest(workspace.base_sha, pack)
        except RunFailure as failure:
            return replace(outcome, code=failure.CODE)
        if harvest.pack is None:
            return outcome
        publish = GitPublish(
            run_id=spec.run_id, fence=1, repository_id=RepositoryId(ids.fresh()), base_sha=workspace.base_sha, tree_sha=harvest.tree_sha,
            workspace=workspace.workspace, result=await self.blobs.put_file(BlobClass.RESULT, harvest.pack),
            authored_at=datetime(2026, 1, 2, tzinfo=UTC),
            agent="shell", publish_policy=PublishPolicy.AUTO, approved=True,
        )  # fmt: skip
        pack.unlink()
        return await self._published(outcome, spec.task_id, publish)

    async def _published(self, outcome: Outcome, task: TaskId, publish: GitPublish) -> Outcome:
        facts = await self._handle(task, publish)
        if isinstance(failed := facts[-1], ChangeFailed):
            return replace(outcome, code=failed.failure.code)
        prepared, published = facts
        assert isinstance(prepared, ChangePrepared)
        assert isinstance(published, ChangePublished)
        document = ChangesDocument.model_validate_json(self.blobs.path(prepared.changes).read_bytes())
        return replace(outcome, prepared=prepared, published=published, changes=document, patch=self.blobs.path(prepared.patch))

    def _spec(self, task: TaskId, workspace_bytes: int) -> SandboxSpec:
        return SandboxSpec(
            run_id=RunId(ids.fresh()), fence=1, owner=self.owner, task_id=task, image=self.image, limits=LIMITS,
            workspace_bytes=workspace_bytes, max_result_bytes=96 * MIB,
        )  # fmt: skip

    async def _answer(self, task: TaskId, command: GitPrepare, wanted: type[F]) -> F:
        (fact,) = await self._handle(task, command)
        assert isinstance(fact, wanted), fact
        return fact

    async def _handle(self, task: TaskId, command: GitPrepare | GitPublish) -> list[Fact]:
        begun = time.perf_counter()
        await self.handlers.handle(envelopes.new(command, source="scheduler", owner=self.owner, task=task, cause=ids.fresh()), Turn())
        self.git_seconds += time.perf_counter() - begun
        facts = self.conversation.facts
        self.conversation.said.clear()
        return facts
