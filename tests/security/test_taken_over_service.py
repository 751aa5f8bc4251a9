"""Somebody has the runner's key of the bus, as after a break-out: what that key lets them say of others' work."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from nats.errors import Error as NatsError

from cli.client import Json
from shared.blobs import BlobStore
from shared.bus.client import flushed
from shared.bus.connection import Bus
from shared.bus.settings import BusSettings
from shared.bus.streams import API, Stream
from shared.events import envelope
from shared.events.facts import ChangePrepared, RunStarted, TaskSucceeded
from shared.events.ids import RunId
from shared.events.payload import Fact
from shared.events.values import BlobClass, Outcome
from tests.servers.git import GitServer
from tests.servers.stack import GIT_TOKEN, Person, Stack


def as_service(stack: Stack, user: str, act: Callable[[Bus], Awaitable[None]]) -> None:
    """Act with a service's own key."""

    async def acting() -> None:
        seed = stack.root / "secrets" / user / "nats.nk"
        bus = await Bus.connect(BusSettings(url=f"nats://127.0.0.1:{stack.config['ports']['nats']}", user=user, nkey_file=seed))
        try:
            await act(bus)
        finally:
            await bus.stop()

    asyncio.run(acting())


@pytest.fixture
def held(person: Person, git_server: GitServer, repository: str) -> Json:
    """A change that waits for its reviewer."""
    person.client.post("/v1/credentials", {"purpose": "git_token", "host": f"127.0.0.1:{git_server.port}", "value": GIT_TOKEN})
    project = person.project(git_server.url(repository), publish_policy="ask")
    return person.until(person.task(project, "echo evil > evil.sh"))


def test_another_diff_or_state_cannot_be_shown(stack: Stack, person: Person, held: Json) -> None:
    """The right to say `run.started` is no right to say what git or the scheduler say."""
    owner, task, run = person.client.get("/v1/me")["id"], held["id"], RunId(held["run_ids"][0])
    shown = person.client.text(f"/v1/tasks/{task}/changes")

    async def forge(bus: Bus) -> None:
        harmless = await BlobStore(bus).put_bytes(BlobClass.TRANSCRIPT, b'{"files": []}')
        forged: tuple[Fact, ...] = (
            ChangePrepared(
                run_id=run, base_sha=held["base_sha"], tree_sha=held["tree_sha"], patch=harmless, changes=harmless,
                files=0, additions=0, deletions=0, protected_files=0,
            ),
            TaskSucceeded(outcome=Outcome.PUBLISHED, commit_sha="0" * 40),
        )  # fmt: skip
        for fact in forged:
            said = envelope.new(fact, source="git", owner=owner, task=task)
            with pytest.raises((NatsError, asyncio.TimeoutError)):
                await bus.nats.request(said.nats_subject, said.encode(), timeout=0.5)
            await bus.nats.request(f"evt.run.started.{owner}.{task}", said.encode(), timeout=5)
        await bus.publish(
            envelope.new(RunStarted(run_id=run, fence=1, runner_id="x", image_digest="x"), source="runner", owner=owner, task=task)
        )

    as_service(stack, "runner", forge)
    assert person.client.text(f"/v1/tasks/{task}/changes") == shown
    now = person.get(task)
    assert (now["state"], now["commit_sha"], now["change"]) == ("awaiting_approval", None, held["change"])


def test_the_servers_answers_reach_nothing_that_the_asker_may_not(stack: Stack, held: Json) -> None:
    """A read is answered wherever the asker says: in one account for all, to the call that deletes the stream too."""
    del held

    async def attack(bus: Bus) -> None:
        for target in (f"$JS.API.STREAM.DELETE.{Stream.EVT}", f"{API}.STREAM.DELETE.{Stream.EVT}", "$JS.API.CONSUMER.DELETE.CMD.git"):
            await bus.nats.publish(f"{API}.DIRECT.GET.{Stream.EVT}", b'{"seq": 999999999}', reply=target)
        await flushed(bus.nats)
        assert await bus.read(Stream.EVT, "evt.>", after=0, limit=1)

    for user in ("runner", "git", "gateway"):
        as_service(stack, user, attack)
    assert all(process["state"] in {"ready", "done"} for process in stack.status()["processes"])
