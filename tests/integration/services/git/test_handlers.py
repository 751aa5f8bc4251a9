import asyncio
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretBytes
from structlog.testing import capture_logs

from services.git import app
from services.git.command import Git
from services.git.handlers import Handlers, Measures, TryAgain
from services.git.mirrors import Mirrors
from services.git.remotes import Remotes
from services.git.settings import GitSettings
from shared.blobs.errors import BlobStoreFull, BlobTooLarge
from shared.bus.errors import Postpone
from shared.events import envelope as envelopes
from shared.events.changes import ChangesDocument
from shared.events.commands import GitPrepare, GitPublish
from shared.events.envelope import AnyEnvelope
from shared.events.facts import ChangeFailed, ChangeHeld, ChangePrepared, ChangePublished, WorkspaceFailed, WorkspacePrepared
from shared.events.ids import CredentialId, OwnerId, RepositoryId, RunId, TaskId
from shared.events.payload import Fact
from shared.events.questions import AskPublication, AskSealedCredential, AskWorkspaceSource, Publication, SealedCredential, WorkspaceSource
from shared.events.values import BlobClass, BlobRef, CredentialRef, PublishPolicy, Purpose
from shared.secrets.context import Context
from shared.secrets.keyring import Keyring
from shared.secrets.sealing import seal
from tests.integration.services.git.conftest import LOOPBACK, OWNER
from tests.integration.services.git.fakes import REFUSED, Conversation, Folder
from tests.integration.services.git.line import applied, sandbox
from tests.servers import git_objects
from tests.servers.git import GitServer
from tests.servers.git_objects import Blob

TASK, RUN = TaskId("22222222-2222-4222-8222-222222222222"), RunId("11111111-1111-4111-8111-111111111111")
REPOSITORY, CREDENTIAL = RepositoryId("33333333-3333-4333-8333-333333333333"), CredentialId("44444444-4444-4444-8444-444444444444")
BRANCH = "async-code/22222222-fix-it"
SECRET = "planted-" + "0123456789abcdef" * 2


@dataclass(frozen=True)
class Turn:
    deliveries: int = 1


def new_id() -> str:
    return str(uuid.uuid4())


@dataclass
class Desk:
    """The handlers with a conversation and a folder of blobs around them, and one repository."""

    handlers: Handlers
    conversation: Conversation
    blobs: Folder
    server: GitServer
    keyring: Keyring
    directory: Path
    work_dir: Path
    published: list[Fact] = field(default_factory=list[Fact])

    def command(self, payload: GitPrepare | GitPublish, command_id: str | None = None) -> AnyEnvelope:
        return envelopes.new(payload, source="scheduler", owner=OWNER, task=TASK, cause=command_id or new_id())

    async def run(self, payload: GitPrepare | GitPublish, *, deliveries: int = 1, command: AnyEnvelope | None = None) -> list[Fact]:
        before = len(self.conversation.facts)
        await self.handlers.handle(command or self.command(payload), Turn(deliveries))
        assert not list(self.work_dir.iterdir())
        return self.conversation.facts[before:]

    def seal(self, secret: str, version: int = 1) -> CredentialRef:
        context = Context(purpose=Purpose.GIT_TOKEN, owner=OWNER, credential_id=CREDENTIAL, version=version)
        sealed = seal(self.keyring.primary, SecretBytes(secret.encode()), context)
        self.conversation.answers[AskSealedCredential] = SealedCredential.model_construct(sealed=bytes(sealed))
        return CredentialRef(credential_id=CREDENTIAL, version=version, purpose=Purpose.GIT_TOKEN)

    async def prepared(self, credential: CredentialRef | None = None) -> WorkspacePrepared:
        (fact,) = await self.run(GitPrepare(repository_id=REPOSITORY, credential=credential))
        assert isinstance(fact, WorkspacePrepared)
        return fact

    async def worked(self, edit: Callable[[Path], None], credential: CredentialRef | None = None) -> GitPublish:
        """Prepare, let a sandbox edit, store its pack: the command to publish it."""
        workspace = await self.prepared(credential)
        place = self.directory / new_id()
        place.mkdir()
        base, tree, pack = sandbox(self.blobs.path(workspace.workspace), place, edit)
        return GitPublish(
            run_id=RUN, fence=1, repository_id=REPOSITORY, credential=credential, base_sha=base, tree_sha=tree,
            workspace=workspace.workspace,
            result=await self.blobs.put_bytes(BlobClass.RESULT, pack), authored_at=datetime(2026, 1, 2, tzinfo=UTC), agent="shell",
            publish_policy=PublishPolicy.AUTO,
        )  # fmt: skip


def fix(work: Path) -> None:
    (work / "README.md").write_text("# Demo\n\nFixed.\n")


@pytest.fixture
def desk(tmp_path: Path, server: GitServer) -> Desk:
    return make_desk(tmp_path, server, lambda measures: measures)


def make_desk(tmp_path: Path, server: GitServer, changed: Callable[[Measures], Measures]) -> Desk:
    """A desk under the default limits, as `changed`."""
    repository = server.create("demo")
    git_objects.write_commit(repository, git_objects.write_tree(repository, {b"README.md": Blob(b"# Demo\n")}))
    keyring, conversation = Keyring.generate(), Conversation()
    conversation.answers[AskWorkspaceSource] = WorkspaceSource(url=server.url("demo"))
    conversation.answers[AskPublication] = Publication(url=server.url("demo"), branch=BRANCH, title="Fix it")
    blobs = Folder(tmp_path / "blobs")
    blobs.directory.mkdir()
    (tmp_path / "work").mkdir()
    measures = changed(app.measures(GitSettings(keyring_file=tmp_path / "unused", cache_dir=tmp_path / "cache")))
    git = Git(tmp_path / "home")
    handlers = Handlers(
        conversation, blobs, Remotes(conversation, keyring, protocols={"http"}, reach=LOOPBACK), git,
        Mirrors(git, tmp_path / "cache", caps=measures.push, max_bytes=1024**3), work_dir=tmp_path / "work", measures=measures,
    )  # fmt: skip
    return Desk(handlers, conversation, blobs, server, keyring, tmp_path, tmp_path / "work")


async def test_prepare_then_publish(desk: Desk) -> None:
    command = await desk.worked(fix)
    prepared, published = await desk.run(command)
    assert isinstance(prepared, ChangePrepared)
    assert isinstance(published, ChangePublished)
    assert (prepared.files, prepared.additions, prepared.deletions, prepared.protected_files) == (1, 2, 0, 0)
    document = ChangesDocument.model_validate_json(desk.blobs.path(prepared.changes).read_bytes())
    assert [file.path for file in document.files] == ["README.md"]
    repository = desk.server.path("demo")
    assert applied(repository, command.base_sha, desk.blobs.path(prepared.patch)) == command.tree_sha
    assert desk.server.branch("demo", BRANCH) == published.commit_sha
    assert git_objects.tree_of(repository, BRANCH) == command.tree_sha == published.tree_sha
    shown = git_objects.git(repository, "log", "-1", "--format=%an <%ae> %at %cn %ct %P%n%B", BRANCH).decode()
    assert shown.startswith(
        f"Async Code <async-code@localhost> 1767312000 Async Code 1767312000 {command.base_sha}\nFix it\n\nAgent: shell\n"
    )
    assert f"Async-Code-Task: {TASK}\nAsync-Code-Run: {RUN}" in shown


async def test_the_same_command_again_says_nothing_new(desk: Desk) -> None:
    payload = await desk.worked(fix)
    command = desk.command(payload)
    assert len(await desk.run(payload, command=command)) == 2
    seen = len(desk.server.seen)
    assert await desk.run(payload, command=command, deliveries=2) == []
    assert len(desk.server.seen) == seen


async def test_another_command_for_the_same_work_makes_the_same_commit_on_one_branch(desk: Desk) -> None:
    payload = await desk.worked(fix)
    first, second = (await desk.run(payload))[-1], (await desk.run(payload))[-1]
    assert isinstance(first, ChangePublished)
    assert first == second
    assert git_objects.branches(desk.server.path("demo")).keys() == {"main", BRANCH}


async def test_a_push_whose_fact_was_lost_ends_with_one_branch(desk: Desk) -> None:
    payload = await desk.worked(fix)
    command = desk.command(payload)
    await desk.run(payload, command=command)
    desk.conversation.said = [said for said in desk.conversation.said if not isinstance(said.data, ChangePublished)]
    (published,) = await desk.run(payload, command=command, deliveries=2)
    assert isinstance(published, ChangePublished)
    assert git_objects.branches(desk.server.path("demo"))[BRANCH] == published.commit_sha


async def test_two_replicas_at_once_make_one_branch(desk: Desk) -> None:
    payload = await desk.worked(fix)
    commands = [desk.command(payload) for _ in range(3)]
    await asyncio.gather(*(desk.handlers.handle(command, Turn()) for command in commands))
    commits = {fact.commit_sha for fact in desk.conversation.facts if isinstance(fact, ChangePublished)}
    assert commits == {desk.server.branch("demo", BRANCH)}
    assert sum(isinstance(fact, ChangePublished) for fact in desk.conversation.facts) == 3


async def test_a_taken_branch_fails_loudly_and_stays_what_it_was(desk: Desk) -> None:
    payload = await desk.worked(fix)
    git_objects.git(desk.server.path("demo"), "update-ref", f"refs/heads/{BRANCH}", payload.base_sha)
    prepared, failed = await desk.run(payload)
    assert isinstance(prepared, ChangePrepared)
    assert isinstance(failed, ChangeFailed)
    assert failed.failure.code == "branch_taken"
    assert desk.server.branch("demo", BRANCH) == payload.base_sha


async def test_policy_ask_holds_and_approval_publishes(desk: Desk) -> None:
    payload = (await desk.worked(fix)).model_copy(update={"publish_policy": PublishPolicy.ASK})
    prepared, held = await desk.run(payload)
    assert isinstance(prepared, ChangePrepared)
    assert held == ChangeHeld(run_id=RUN, tree_sha=payload.tree_sha, reason="policy")
    assert desk.server.branch("demo", BRANCH) is None
    assert isinstance((await desk.run(payload.model_copy(update={"approved": True})))[-1], ChangePublished)


async def test_protected_paths_hold_whatever_the_policy(desk: Desk) -> None:
    def edit(work: Path) -> None:
        (work / ".github/workflows").mkdir(parents=True)
        (work / ".github/workflows/ci.yml").write_text("on: push\n")

    payload = await desk.worked(edit)
    prepared, held = await desk.run(payload)
    assert isinstance(prepared, ChangePrepared)
    assert prepared.protected_files == 1
    assert held == ChangeHeld(run_id=RUN, tree_sha=payload.tree_sha, reason="protected_paths")
    assert desk.server.branch("demo", BRANCH) is None


async def test_a_project_protects_more(desk: Desk) -> None:
    desk.conversation.answers[AskPublication] = Publication(
        url=desk.server.url("demo"), branch=BRANCH, title="x", protected_paths=("README*",)
    )
    assert isinstance((await desk.run(await desk.worked(fix)))[-1], ChangeHeld)


async def test_work_in_progress_survives_the_loss_of_the_whole_cache(desk: Desk) -> None:
    payload = await desk.worked(fix)
    for mirror in (desk.directory / "cache/mirrors").glob("*/*.git"):
        mirror.rename(desk.directory / "lost")
    assert isinstance((await desk.run(payload))[-1], ChangePublished)
    assert git_objects.tree_of(desk.server.path("demo"), BRANCH) == payload.tree_sha


async def failure_of(desk: Desk, payload: GitPrepare | GitPublish, *, deliveries: int = 1) -> str:
    fact = (await desk.run(payload, deliveries=deliveries))[-1]
    assert isinstance(fact, (WorkspaceFailed, ChangeFailed))
    return fact.failure.code


PREPARE = GitPrepare(repository_id=REPOSITORY)


async def test_why_a_workspace_cannot_be_prepared(desk: Desk) -> None:
    answers = desk.conversation.answers
    for url, code in (
        ("ssh://example.org/a", "address_refused"),
        ("https://127.0.0.1.nip.invalid:99999/a", "address_refused"),
        ("http://10.0.0.1/a", "address_refused"),
        (desk.server.url("absent"), "repository_not_found"),
    ):
        answers[AskWorkspaceSource] = WorkspaceSource(url=url)
        assert await failure_of(desk, PREPARE) == code
    answers[AskWorkspaceSource] = WorkspaceSource(url=desk.server.url("demo"), base_ref="nope")
    assert await failure_of(desk, PREPARE) == "ref_not_found"
    answers[AskWorkspaceSource] = WorkspaceSource(url=desk.server.url("demo"), base_ref="--upload-pack=x")
    assert await failure_of(desk, PREPARE) == "ref_not_found"
    desk.server.create("empty")
    answers[AskWorkspaceSource] = WorkspaceSource(url=desk.server.url("empty"))
    assert await failure_of(desk, PREPARE) == "repository_empty"
    answers[AskWorkspaceSource] = REFUSED
    assert await failure_of(desk, PREPARE) == "repository_not_found"
    desk.conversation.answers[AskWorkspaceSource] = WorkspaceSource(url=desk.server.url("demo"))
    desk.blobs.full = BlobTooLarge("x")
    assert await failure_of(desk, PREPARE) == "repository_too_large"
    desk.blobs.full = BlobStoreFull("x")
    with pytest.raises(TryAgain):
        await desk.run(PREPARE)
    assert await failure_of(desk, PREPARE, deliveries=4) == "storage_full"


async def test_what_does_not_answer_is_tried_again_and_then_given_up(desk: Desk) -> None:
    desk.server.stop()
    for delivery in (1, 2, 3):
        with pytest.raises(TryAgain):
            await desk.run(PREPARE, deliveries=delivery)
    assert await failure_of(desk, PREPARE, deliveries=4) == "repository_unreachable"
    desk.server.start()
    payload = await desk.worked(fix)
    desk.server.stop()
    with pytest.raises(TryAgain):
        await desk.run(payload)
    assert await failure_of(desk, payload, deliveries=4) == "push_unreachable"


async def test_our_own_side_is_waited_for_as_long_as_the_scheduler_waits(desk: Desk) -> None:
    payload = await desk.worked(fix)
    answer = desk.conversation.answers.pop(AskPublication)
    del desk.conversation.answers[AskWorkspaceSource]
    for deliveries in (1, 4, 400):
        for command in (PREPARE, payload):
            with pytest.raises(Postpone) as postponed:
                await desk.run(command, deliveries=deliveries)
            assert postponed.value.delay_seconds <= 2
    desk.conversation.answers[AskPublication] = answer
    assert isinstance((await desk.run(payload, deliveries=401))[-1], ChangePublished)


async def test_why_a_push_is_refused(desk: Desk) -> None:
    payload = await desk.worked(fix)
    desk.server.deny_pushes("demo", "Authentication failed for http://planted/")
    assert await failure_of(desk, payload) == "push_refused"
    desk.server.require_token("demo", SECRET)
    assert await failure_of(desk, payload) == "push_auth"
    desk.server.answer_with("demo", 403)
    assert await failure_of(desk, payload) == "push_auth"
    desk.conversation.answers[AskPublication] = Publication(url=desk.server.url("demo"), branch="-x", title="x")
    assert await failure_of(desk, payload) == "push_refused"
    desk.conversation.answers[AskPublication] = REFUSED
    assert await failure_of(desk, payload) == "push_refused"


async def test_work_that_is_not_what_it_says(desk: Desk) -> None:
    payload = await desk.worked(fix)
    rubbish = await desk.blobs.put_bytes(BlobClass.RESULT, b"rubbish")
    missing = BlobRef(blob_class=BlobClass.RESULT, sha256="0" * 64, size_bytes=7)
    for changed, code in (
        ({"result": rubbish}, "pack_refused"),
        ({"result": missing}, "blob_missing"),
        ({"tree_sha": "e" * 40}, "tree_mismatch"),
        ({"base_sha": "e" * 40}, "blob_missing"),
        ({"result": payload.result.model_copy(update={"size_bytes": 1024**4})}, "result_too_large"),
    ):
        assert await failure_of(desk, payload.model_copy(update=changed)) == code
    assert desk.server.branch("demo", BRANCH) is None


async def test_credentials_open_only_for_what_they_were_sealed_for(desk: Desk) -> None:
    desk.server.require_token("demo", SECRET)
    credential = desk.seal(SECRET)
    payload = await desk.worked(fix, credential)
    assert isinstance((await desk.run(payload))[-1], ChangePublished)
    other = credential.model_copy(update={"version": 2})
    assert await failure_of(desk, GitPrepare(repository_id=REPOSITORY, credential=other)) == "repository_auth"
    model = credential.model_copy(update={"purpose": Purpose.MODEL_KEY})
    assert await failure_of(desk, GitPrepare(repository_id=REPOSITORY, credential=model)) == "repository_auth"
    desk.conversation.answers[AskSealedCredential] = REFUSED
    assert await failure_of(desk, GitPrepare(repository_id=REPOSITORY, credential=credential)) == "repository_auth"
    assert await failure_of(desk, payload.model_copy(update={"authored_at": datetime(2027, 1, 1, tzinfo=UTC)})) == "push_auth"


async def test_a_token_is_nowhere_to_be_found(desk: Desk) -> None:
    desk.server.require_token("demo", SECRET)
    credential = desk.seal(SECRET)
    desk.server.hold()
    with capture_logs() as logs:
        work = asyncio.create_task(desk.worked(fix, credential))
        await asyncio.to_thread(desk.server.arrived.wait, 20)
        seen = _processes()
        assert any("git-remote-http" in command or "remote-http" in command for command, _ in seen)
        assert not [command for command, environment in seen if SECRET in command or SECRET in environment]
        desk.server.release()
        payload = await work
        await desk.run(payload)
    assert SECRET not in repr(logs)
    assert SECRET not in repr(desk.conversation.said)
    for file in desk.directory.rglob("*"):
        if file.is_file():
            assert SECRET.encode() not in file.read_bytes(), file
    assert any(request.authorized for request in desk.server.seen)


def _processes() -> list[tuple[str, str]]:
    """Arguments and environment of every process below this one."""
    found: list[tuple[str, str]] = []
    parents = {os.getpid()}
    for entry in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            status = (entry / "status").read_text()
            parent = int(status.split("PPid:", 1)[1].split()[0])
            if parent in parents:
                parents.add(int(entry.name))
                found.append(((entry / "cmdline").read_text(), (entry / "environ").read_text()))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


async def test_one_owners_mirror_does_not_serve_another(desk: Desk) -> None:
    desk.server.require_token("demo", SECRET)
    await desk.prepared(desk.seal(SECRET))
    stranger = replace(desk, conversation=desk.conversation)
    command = envelopes.new(PREPARE, source="scheduler", owner=OwnerId(new_id()), task=TASK, cause=new_id())
    await stranger.handlers.handle(command, Turn())
    fact = stranger.conversation.facts[-1]
    assert isinstance(fact, WorkspaceFailed)
    assert fact.failure.code == "repository_auth"
