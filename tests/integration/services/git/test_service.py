"""The whole service as a process of its own, on a real NATS server and a real git server, killed where it hurts."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretBytes

from deploy.nats.api import Api
from shared.blobs import BlobStore
from shared.bus.connection import Bus
from shared.bus.streams import Durable, Stream
from shared.events import envelope as envelopes
from shared.events import ids
from shared.events.commands import GitPrepare, GitPublish
from shared.events.envelope import AnyEnvelope
from shared.events.facts import ChangePublished, WorkspacePrepared
from shared.events.ids import CredentialId, OwnerId, RepositoryId, RunId, TaskId
from shared.events.payload import Command, Fact
from shared.events.questions import AskPublication, AskSealedCredential, AskWorkspaceSource, Publication, SealedCredential, WorkspaceSource
from shared.events.values import BlobClass, CredentialRef, PublishPolicy, Purpose
from shared.secrets.context import Context
from shared.secrets.keyring import Keyring
from shared.secrets.sealing import seal
from shared.store.errors import StoreUnavailable
from tests.integration.services.git.line import sandbox
from tests.servers import git_objects
from tests.servers.git import GitServer
from tests.servers.git_objects import Blob
from tests.servers.nats import NatsServer, nats_server

__all__ = ["nats_server"]

SECRET = "planted-" + "fedcba9876543210" * 2
BRANCH = "async-code/x"


@dataclass
class Silences:
    """How often the gateway will still fail to answer where the base comes from, and how often it was asked."""

    left: int = 0
    asked: int = 0


@dataclass
class Stage:
    """Everything around the service, played by the test: gateway, scheduler, runner."""

    directory: Path
    nats: NatsServer
    server: GitServer
    owner: OwnerId
    task: TaskId
    credential: CredentialRef
    buses: dict[str, Bus]
    silences: Silences
    environment: dict[str, str]
    processes: list[asyncio.subprocess.Process] = field(default_factory=list[asyncio.subprocess.Process])

    async def start(self) -> asyncio.subprocess.Process:
        """The service, started; returns at once."""
        with (self.directory / "service.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.git", env=self.environment, stderr=log, stdout=log
            )
        self.processes.append(process)
        return process

    async def send(self, payload: Command) -> AnyEnvelope:
        """A command by the scheduler."""
        command = envelopes.new(payload, source="scheduler", owner=self.owner, task=self.task, cause=ids.fresh())
        await self.buses["scheduler"].publish(command)
        return command

    async def fact(self, kind: type[Fact], cause: AnyEnvelope) -> Fact:
        """The fact of this kind that the command caused, as soon as it is there."""
        subject = envelopes.subject(kind, self.owner, self.task)
        arrived = asyncio.Event()
        unsubscribe = await self.buses["gateway"].subscribe("evt.>", lambda _subject: arrived.set())
        async with asyncio.timeout(60):
            while True:
                arrived.clear()
                found = await self.buses["gateway"].last_fact(subject)
                if found is not None and found.causationid == cause.id:
                    await unsubscribe()
                    return found.data
                with suppress(TimeoutError):  # a wake-up may come before its message is stored
                    await asyncio.wait_for(arrived.wait(), 0.2)

    async def facts(self) -> list[str]:
        """The subjects of every fact so far."""
        return [message.subject.rsplit(".", 2)[0] for message in await self.buses["gateway"].read(Stream.EVT, "evt.>", after=0)]


@pytest.fixture
async def stage(tmp_path: Path, nats_server: NatsServer, server: GitServer) -> AsyncIterator[Stage]:
    repository = server.create("demo")
    git_objects.write_commit(repository, git_objects.write_tree(repository, {b"a.txt": Blob(b"a\n")}))
    server.require_token("demo", SECRET)
    owner, credential_id = OwnerId(ids.fresh()), CredentialId(ids.fresh())
    keyring = Keyring.generate()
    keyring.save(tmp_path / "git.keyring")
    context = Context(purpose=Purpose.GIT_TOKEN, owner=owner, credential_id=credential_id, version=1)
    sealed = bytes(seal(keyring.primary, SecretBytes(SECRET.encode()), context))
    environment = {
        "PATH": os.environ["PATH"], "NATS_URL": nats_server.url, "NATS_USER": "git",
        "NATS_NKEY_FILE": str(nats_server.rendered.seed_file("git")),
        "GIT_KEYRING_FILE": str(tmp_path / "git.keyring"), "GIT_CACHE_DIR": str(tmp_path / "cache"), "GIT_ALLOW_PROTOCOLS": "http",
        "GIT_ALLOW_NETWORKS": "127.0.0.0/8",
    }  # fmt: skip
    await _quick_redelivery(nats_server)
    async with AsyncExitStack() as stack:
        buses: dict[str, Bus] = {}
        for user in ("gateway", "scheduler", "runner"):
            buses[user] = await Bus.connect(nats_server.settings(user))
            stack.push_async_callback(buses[user].stop)
        silences = Silences()
        _answer(buses["gateway"], server, sealed, silences)
        await buses["gateway"].start()
        credential = CredentialRef(credential_id=credential_id, version=1, purpose=Purpose.GIT_TOKEN)
        played = Stage(tmp_path, nats_server, server, owner, TaskId(ids.fresh()), credential, buses, silences, environment)
        yield played
        server.release()
        for process in played.processes:
            if process.returncode is None:
                process.terminate()
                await process.wait()


async def _quick_redelivery(nats_server: NatsServer) -> None:
    """So that a killed service's command comes back after a second, not after thirty."""
    api = await Api.connect(nats_server.url, "provisioner", nats_server.rendered.seed_file("provisioner"), None, 10)
    info = await api.call(f"CONSUMER.INFO.{Stream.CMD}.{Durable.GIT}")
    config = info["config"] | {"ack_wait": 10**9}
    suffix = f".{config['filter_subject']}" if "filter_subject" in config else ""
    body = {"stream_name": Stream.CMD, "config": config, "action": "update"}
    await api.call(f"CONSUMER.CREATE.{Stream.CMD}.{Durable.GIT}{suffix}", body)
    await api.close()


def _answer(gateway: Bus, server: GitServer, sealed: bytes, silences: Silences) -> None:
    async def source(_question: AskWorkspaceSource) -> WorkspaceSource:
        silences.asked += 1
        if silences.asked <= silences.left:
            raise StoreUnavailable("the gateway's database is away")
        return WorkspaceSource(url=server.url("demo"))

    async def publication(_question: AskPublication) -> Publication:
        return Publication(url=server.url("demo"), branch=BRANCH, title="Change a")

    async def credential(_question: AskSealedCredential) -> SealedCredential:
        return SealedCredential.model_construct(sealed=sealed)

    gateway.answer(AskWorkspaceSource, source)
    gateway.answer(AskPublication, publication)
    gateway.answer(AskSealedCredential, credential)


def edit(directory: Path) -> None:
    (directory / "a.txt").write_text("b\n")


async def work(stage: Stage) -> GitPublish:
    """Prepare through the service, then do as a runner does."""
    prepare = await stage.send(GitPrepare(repository_id=RepositoryId(ids.fresh()), credential=stage.credential))
    prepared = await stage.fact(WorkspacePrepared, prepare)
    assert isinstance(prepared, WorkspacePrepared)
    blobs, place = BlobStore(stage.buses["runner"]), stage.directory / "sandbox"
    place.mkdir()
    await blobs.get_file(prepared.workspace, place / "workspace.tar")
    base, tree, pack = sandbox(place / "workspace.tar", place, edit)
    return GitPublish(
        run_id=RunId(ids.fresh()), fence=1, repository_id=RepositoryId(ids.fresh()), credential=stage.credential, base_sha=base,
        tree_sha=tree, workspace=prepared.workspace, result=await blobs.put_bytes(BlobClass.RESULT, pack),
        authored_at=datetime(2026, 1, 2, tzinfo=UTC),
        agent="shell", publish_policy=PublishPolicy.AUTO,
    )  # fmt: skip


async def test_a_prompt_s_work_becomes_a_branch(stage: Stage) -> None:
    await stage.start()
    payload = await work(stage)
    published = await stage.fact(ChangePublished, await stage.send(payload))
    assert isinstance(published, ChangePublished)
    assert stage.server.branch("demo", BRANCH) == published.commit_sha
    assert git_objects.tree_of(stage.server.path("demo"), BRANCH) == payload.tree_sha
    assert await stage.facts() == ["evt.workspace.prepared", "evt.change.prepared", "evt.change.published"]
    log = (stage.directory / "service.log").read_text()
    assert SECRET not in log
    for message in await stage.buses["gateway"].read(Stream.EVT, ">", after=0):
        assert SECRET.encode() not in message.data


async def test_a_gateway_that_is_away_fails_nothing(stage: Stage) -> None:
    """More often than a remote is tried, and than the bus tries a failing handler."""
    stage.silences.left = 6
    await stage.start()
    prepare = await stage.send(GitPrepare(repository_id=RepositoryId(ids.fresh()), credential=stage.credential))
    assert isinstance(await stage.fact(WorkspacePrepared, prepare), WorkspacePrepared)
    assert stage.silences.asked == 7
    assert await stage.facts() == ["evt.workspace.prepared"]


async def test_killed_between_the_push_and_the_fact_there_is_one_branch(stage: Stage) -> None:
    process = await stage.start()
    payload = await work(stage)
    stage.server.hold_push_answers()
    command = await stage.send(payload)
    assert await asyncio.to_thread(stage.server.pushed.wait, 30)
    pushed = stage.server.branch("demo", BRANCH)
    process.kill()
    await process.wait()
    left_behind = list((stage.directory / "cache/work").iterdir())
    assert left_behind
    assert "evt.change.published" not in await stage.facts()
    stage.server.release()
    await stage.start()
    published = await stage.fact(ChangePublished, command)
    assert isinstance(published, ChangePublished)
    assert published.commit_sha == pushed == stage.server.branch("demo", BRANCH)
    assert not any(place.exists() for place in left_behind)
    assert (await stage.facts()).count("evt.change.published") == 1
    assert set(git_objects.branches(stage.server.path("demo"))) == {"main", BRANCH}


async def test_killed_in_the_middle_of_a_fetch_the_snapshot_is_made_by_the_next(stage: Stage) -> None:
    process = await stage.start()
    stage.server.hold()
    command = await stage.send(GitPrepare(repository_id=RepositoryId(ids.fresh()), credential=stage.credential))
    assert await asyncio.to_thread(stage.server.arrived.wait, 30)
    process.kill()
    await process.wait()
    await stage.start()
    stage.server.release()
    assert isinstance(await stage.fact(WorkspacePrepared, command), WorkspacePrepared)
    assert await stage.facts() == ["evt.workspace.prepared"]


async def test_a_second_process_on_the_same_cache_does_not_start(stage: Stage) -> None:
    await stage.start()
    await work(stage)
    second = await stage.start()
    assert await second.wait() != 0
