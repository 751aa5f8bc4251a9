"""The server dies and comes back in the middle of everything: nothing is lost, nothing is handled twice by id."""

import asyncio
import json

import pytest

from shared.bus import Bus, Delivery, Durable, Stream
from shared.bus.errors import BusUnreachable, NotAuthorized, NotPermitted, NotReady
from shared.bus.streams import API, Mirror
from shared.events.envelope import AnyEnvelope
from tests.integration.shared.bus.conftest import Connect, eventually, everything
from tests.integration.shared.bus.messages import prepare
from tests.servers.nats import NatsServer, free_port

COMMANDS = 400


async def mirrored(audit: Bus) -> dict[str, int]:
    """What the trail's mirror of CMD holds."""
    answer = await audit.nats.request(f"{API}.STREAM.INFO.{Mirror.CMD}", timeout=5)
    return json.loads(answer.data)["state"]


async def test_kills_in_the_middle_lose_and_double_nothing(nats_server: NatsServer, connect: Connect, ops: Bus) -> None:
    scheduler, git = await connect("scheduler"), await connect("git")
    commands = [prepare() for _ in range(COMMANDS)]
    handled: list[str] = []
    progress, complete = asyncio.Event(), asyncio.Event()

    async def handle(envelope: AnyEnvelope, _delivery: Delivery) -> None:
        handled.append(envelope.id)
        progress.set()
        if len(set(handled)) == COMMANDS:
            complete.set()

    async def publish() -> None:
        for command in commands:
            await scheduler.publish(command)

    git.consume(Stream.CMD, Durable.GIT, handle, slots=4)
    await git.start()
    publishing = asyncio.create_task(publish())
    for _ in range(3):
        for _ in range(40):
            progress.clear()
            await asyncio.wait_for(progress.wait(), 30)
        await nats_server.kill()
        await nats_server.restart()
    await asyncio.wait_for(publishing, 60)
    await asyncio.wait_for(complete.wait(), 90)

    assert set(handled) == {command.id for command in commands}
    assert len(handled) <= COMMANDS + 3 * 4  # at most what was in a slot at a kill came twice: handlers tell by the id
    await eventually(lambda: everything(ops, Stream.CMD), lambda held: not held, 60)
    assert not await everything(ops, Stream.DLQ)
    audit = await connect("audit")
    trail = await eventually(lambda: mirrored(audit), lambda state: state["messages"] >= COMMANDS, 60)
    assert (trail["messages"], trail["first_seq"], trail["last_seq"]) == (COMMANDS, 1, COMMANDS)


async def test_publishing_waits_for_a_dead_server(nats_server: NatsServer, connect: Connect, ops: Bus) -> None:
    scheduler = await connect("scheduler")
    await nats_server.kill()
    command = prepare()
    publishing = asyncio.create_task(scheduler.publish(command))
    with pytest.raises(NotReady):
        await scheduler.ready()
    await nats_server.restart()
    await asyncio.wait_for(publishing, 30)
    assert [message.data for message in await everything(ops, Stream.CMD)] == [command.encode()]


async def test_a_frozen_server_delays_and_doubles_nothing(nats_server: NatsServer, connect: Connect, ops: Bus) -> None:
    scheduler = await connect("scheduler")
    await nats_server.freeze()
    command = prepare()
    publishing = asyncio.create_task(scheduler.publish(command))
    _, pending = await asyncio.wait({publishing}, timeout=6)  # longer than one attempt: it is sent twice
    assert pending
    await nats_server.thaw()
    await asyncio.wait_for(publishing, 30)
    assert [message.data for message in await everything(ops, Stream.CMD)] == [command.encode()]


async def test_connecting_waits_until_the_server_is_there(nats_server: NatsServer) -> None:
    await nats_server.stop()
    connecting = asyncio.create_task(Bus.connect(nats_server.settings("git", connect_seconds=20)))
    await nats_server.restart()
    bus = await asyncio.wait_for(connecting, 20)
    await bus.ready()
    await bus.stop()


async def test_connecting_to_nobody_says_so_in_time(nats_server: NatsServer) -> None:
    settings = nats_server.settings("git", connect_seconds=0.5).model_copy(update={"url": f"nats://127.0.0.1:{free_port()}"})
    with pytest.raises(BusUnreachable, match="Connect call failed"):
        await Bus.connect(settings)


async def test_an_unknown_key_is_said_at_once(nats_server: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> None:
    stranger = NatsServer(tmp_path_factory.mktemp("stranger"))
    await stranger.start()
    await stranger.stop()
    settings = nats_server.settings("git", connect_seconds=60).model_copy(update={"nkey_file": stranger.rendered.seed_file("git")})
    with pytest.raises(NotAuthorized, match="as git"):
        await asyncio.wait_for(Bus.connect(settings), 10)


async def test_a_denied_subject_is_said(connect: Connect) -> None:
    git = await connect("git")
    with pytest.raises(NotPermitted, match=r"cmd\.git\.prepare"):
        await git.publish(prepare())
