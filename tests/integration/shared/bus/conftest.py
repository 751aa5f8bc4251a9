"""Connections to a real server, and small messages to send over them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import pytest

from deploy.nats.api import Api
from shared.bus import Bus, BusSettings
from shared.bus.reading import StoredMessage
from tests.servers.nats import NatsServer

Connect = Callable[..., Awaitable[Bus]]
Reconfigure = Callable[..., Awaitable[None]]


@pytest.fixture
async def connect(nats_server: NatsServer) -> AsyncIterator[Connect]:
    """Give buses that end with the test. Failures are retried after 10 ms, twice."""
    async with AsyncExitStack() as stack:

        async def connected(user: str, **changes: Any) -> Bus:
            settings: BusSettings = nats_server.settings(user).model_copy(update={"retry_delays_seconds": (0.01, 0.01), **changes})
            bus = await Bus.connect(settings)
            stack.push_async_callback(bus.stop)
            return bus

        yield connected


@pytest.fixture
async def ops(connect: Connect) -> Bus:
    """What an operator sees of CMD, EVT and DLQ."""
    return await connect("ops")


T = TypeVar("T")


async def eventually(look: Callable[[], Awaitable[T]], enough: Callable[[T], bool], seconds: float = 30) -> T:
    """What `look` sees as soon as it is enough: streams tell nobody when they change."""
    async with asyncio.timeout(seconds):
        while not enough(seen := await look()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return seen


async def everything(ops: Bus, stream: str) -> list[StoredMessage]:
    """All that a stream holds."""
    return await ops.read(stream, ">", after=0, limit=100_000)


@pytest.fixture
def reconfigure(nats_server: NatsServer) -> Reconfigure:
    """Change a durable, in the server's words."""

    async def change(stream: str, durable: str, **changes: object) -> None:
        api = await Api.connect(nats_server.url, "provisioner", nats_server.rendered.seed_file("provisioner"), None, 10)
        config = (await api.call(f"CONSUMER.INFO.{stream}.{durable}"))["config"] | changes
        suffix = f".{config['filter_subject']}" if "filter_subject" in config else ""
        await api.call(f"CONSUMER.CREATE.{stream}.{durable}{suffix}", {"stream_name": stream, "config": config, "action": "update"})
        await api.close()

    return change
