"""The server sends its answers wherever the asker says, past the asker's permissions. In an account of its own that leads nowhere."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
from nats.aio.msg import Msg

from deploy.nats import topology
from deploy.nats.api import Api
from shared.bus import Bus, Stream
from shared.bus.client import flushed
from shared.bus.streams import API, Durable, Mirror
from shared.events import ids
from tests.servers.nats import NatsServer

SERVICES = [user.name for user in topology.USERS if not user.provisions]
ASKED = [
    {"seq": 1},
    {"seq": 1, "no_hdr": True},
    {"seq": 1, "next_by_subj": ">", "batch": 9, "no_hdr": True},
    {"last_by_subj": "nothing"},
]
CONSUMER = {"stream_name": "EVT", "config": {"name": "forged", "deliver_subject": "rpc.gateway.run_input", "ack_policy": "none"}}


@pytest.fixture
async def buses(nats_server: NatsServer) -> AsyncIterator[dict[str, Bus]]:
    """Every service, connected."""
    async with AsyncExitStack() as stack:
        connected: dict[str, Bus] = {}
        for name in SERVICES:
            connected[name] = await Bus.connect(nats_server.settings(name))
            stack.push_async_callback(connected[name].stop)
        yield connected


@pytest.fixture
async def provisioners(nats_server: NatsServer) -> AsyncIterator[dict[str, Api]]:
    """APP's and AUDIT's."""
    made = {
        user: await Api.connect(nats_server.url, user, nats_server.rendered.seed_file(user), None, 10)
        for user in ("provisioner", "provisioner-audit")
    }
    yield made
    for api in made.values():
        await api.close()


def requests(name: str) -> Iterator[tuple[str, bytes]]:
    """Everything that a service may ask of the streams and that is answered with bytes, or with none."""
    for subject in topology.user(name).publish:
        if ".DIRECT.GET." in subject:
            yield from ((subject, json.dumps(request).encode()) for request in ASKED)
        if ".MSG.NEXT." in subject:
            yield subject, b'{"batch": 1, "no_wait": true}'


async def everything(provisioners: dict[str, Api]) -> dict[str, object]:
    """What exists, and how much is in it."""
    found: dict[str, object] = {}
    for stream in (*Stream, *Mirror):
        info = await provisioners["provisioner-audit" if isinstance(stream, Mirror) else "provisioner"].call(f"STREAM.INFO.{stream}")
        found[stream] = (info["config"], info["state"]["messages"], info["state"]["consumer_count"])
    return found


async def test_no_answer_deletes_a_stream_or_a_consumer(buses: dict[str, Bus], provisioners: dict[str, Api]) -> None:
    """An answer without bytes, sent to the API, is a valid request to delete."""
    before = await everything(provisioners)
    for name, bus in buses.items():
        for subject, request in requests(name):
            for stream, durable in ((Stream.EVT, Durable.GATEWAY), (Mirror.EVT, "x")):
                for api in ("$JS.API", API, topology.MIRRORED_API):
                    await bus.nats.publish(subject, request, reply=f"{api}.STREAM.DELETE.{stream}")
                    await bus.nats.publish(subject, request, reply=f"{api}.CONSUMER.DELETE.{stream}.{durable}")
        await flushed(bus.nats)
    assert await everything(provisioners) == before


@pytest.mark.parametrize("request_", ASKED)
async def test_no_answer_creates_a_consumer(buses: dict[str, Bus], provisioners: dict[str, Api], request_: dict[str, object]) -> None:
    """Bytes of one's own choice, stored where one may, sent to the API."""
    runner = buses["runner"]
    await runner.publisher.attempt(Stream.BLOB_CHECKPOINT, "blob.checkpoint.x.0", json.dumps(CONSUMER).encode(), {})
    before = await everything(provisioners)
    for api in ("$JS.API", API, topology.MIRRORED_API):
        await runner.nats.publish(
            f"{API}.DIRECT.GET.{Stream.BLOB_CHECKPOINT}", json.dumps(request_).encode(), reply=f"{api}.CONSUMER.CREATE.EVT.forged"
        )
    await flushed(runner.nats)
    assert await everything(provisioners) == before


@pytest.mark.parametrize("request_", ASKED)
async def test_no_answer_is_stored_or_heard_where_its_asker_may_not_publish(
    buses: dict[str, Bus], provisioners: dict[str, Api], request_: dict[str, object]
) -> None:
    runner, gateway = buses["runner"], buses["gateway"]
    heard: list[str] = []

    async def hear(message: Msg) -> None:
        heard.append(message.subject)

    for subject in ("rpc.gateway.>", "evt.>"):
        await gateway.nats.subscribe(subject, cb=hear)  # pyright: ignore[reportUnknownMemberType]
    await flushed(gateway.nats)
    await runner.publisher.attempt(Stream.BLOB_CHECKPOINT, f"blob.checkpoint.{ids.fresh()}.0", b"forged", {})
    before = await everything(provisioners)
    targets = (
        "cmd.git.prepare.-.-",
        "evt.task.succeeded.-.-",
        "$KV.fate.x",
        "dlq.git.prepare.-.-",
        "rpc.gateway.publication",
        f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{Stream.CMD}.{Durable.GIT}",
    )
    for target in targets:
        await runner.nats.publish(f"{API}.DIRECT.GET.{Stream.BLOB_CHECKPOINT}", json.dumps(request_).encode(), reply=target)
    await flushed(runner.nats)
    await flushed(gateway.nats)
    assert await everything(provisioners) == before
    assert heard == []


async def test_what_one_pulls_cannot_be_sent_on(buses: dict[str, Bus], provisioners: dict[str, Api]) -> None:
    """A pulled message goes to the reply subject too, with the headers of its sender."""
    gateway, scheduler = buses["gateway"], buses["scheduler"]
    await scheduler.publisher.attempt(Stream.EVT, "evt.command.dead_lettered.-.-", b"forged", {})
    before = await everything(provisioners)
    await scheduler.nats.publish(f"{API}.CONSUMER.MSG.NEXT.EVT.scheduler", b'{"batch": 1}', reply="evt.run.finished.-.-")
    await gateway.nats.publish(f"{API}.CONSUMER.MSG.NEXT.EVT.gateway", b'{"batch": 1}', reply="cmd.git.prepare.-.-")
    for bus in (scheduler, gateway):
        await flushed(bus.nats)
    assert await everything(provisioners) == before
