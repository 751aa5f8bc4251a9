"""The response that carries a stream: written at the client's pace, ended for the right reasons."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.gateway.errors import TooManyStreams
from services.gateway.tasks.position import Subjects
from services.gateway.tasks.sse import EventStream, Leave
from services.gateway.tasks.stream import Event
from services.gateway.tasks.watching import Streams
from shared.bus.errors import ReadFailed

WHERE = Subjects(facts="evt.*.*.o.t", output="out.o.t.>")


@dataclass
class Client:
    """The other end: takes so many messages, then nothing more, or leaves."""

    takes: int = 1_000
    leaves: bool = False
    got: list[Any] = field(default_factory=list[Any])

    async def send(self, message: Any) -> None:
        if len(self.got) >= self.takes:
            await asyncio.get_running_loop().create_future()
        self.got.append(message)

    async def receive(self) -> dict[str, str]:
        if not self.leaves:
            await asyncio.get_running_loop().create_future()
        return {"type": "http.disconnect"}

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.got[1:])


@dataclass
class Source:
    """Events without end, and whether it was closed."""

    closed: bool = False
    fails: bool = False

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[AsyncIterator[Event]]:
        try:
            yield self._events()
        finally:
            self.closed = True

    async def _events(self) -> AsyncIterator[Event]:
        number = 0
        while True:
            await asyncio.sleep(0)
            number += 1
            if self.fails and number > 2:
                raise ReadFailed
            yield Event("output", f"0.{number}", "{}")


def leave(*, allowed: int = 10_000, seconds: float = 3600, write_seconds: float = 5) -> Leave:
    left = [allowed]

    async def still_allowed() -> bool:
        left[0] -= 1
        return left[0] >= 0

    return Leave(datetime.now(UTC) + timedelta(seconds=seconds), 0, still_allowed, write_seconds)


async def served(client: Client, source: Source, leaving: Leave) -> None:
    await asyncio.wait_for(EventStream(source.opened, leaving)({"type": "http"}, client.receive, client.send), 5)
    assert source.closed


async def test_who_may_no_longer_see_it_is_sent_away() -> None:
    client = Client()
    await served(client, Source(), leave(allowed=3))
    assert client.body.count(b"event: output") == 3
    assert client.got[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


async def test_a_stream_ends_when_the_token_does() -> None:
    client = Client()
    await served(client, Source(), leave(seconds=-1))
    assert client.body.count(b"event: output") == 0


async def test_a_client_that_takes_nothing_is_dropped() -> None:
    await served(Client(takes=5), Source(), leave(write_seconds=0.01))


async def test_a_client_that_leaves_frees_its_stream() -> None:
    await served(Client(takes=5, leaves=True), Source(), leave())


async def test_a_bus_that_fails_ends_the_stream_cleanly() -> None:
    client = Client()
    await served(client, Source(fails=True), leave())
    assert client.body.count(b"event: output") == 2
    assert client.got[-1]["more_body"] is False


async def test_streams_are_limited_in_all_and_per_owner_and_end_together() -> None:
    subscribed: list[str] = []

    async def subscribe(subject: str, _wake: Any) -> Any:
        subscribed.append(subject)

        async def unsubscribe() -> None:
            subscribed.remove(subject)

        return unsubscribe

    streams = Streams(subscribe, limit=3, limit_per_owner=2)
    async with streams.open("a", WHERE) as first, streams.open("a", WHERE):
        with pytest.raises(TooManyStreams):
            async with streams.open("a", WHERE):
                pass
        async with streams.open("b", WHERE):
            with pytest.raises(TooManyStreams):
                async with streams.open("c", WHERE):
                    pass
        assert len(subscribed) == 4
        assert not await first.wait(0.001)
        streams.close()
        assert await first.wait(5)
        assert first.closing
    assert subscribed == []
    async with streams.open("a", WHERE) as late:
        assert late.closing
