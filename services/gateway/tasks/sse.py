"""A task's events as an HTTP response: written at the client's pace, and not longer than the client may see them."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.gateway.tasks.stream import Event
from shared.bus.errors import BusError
from shared.store.errors import StoreError

log = structlog.get_logger(__name__)

Events = Callable[[], AbstractAsyncContextManager[AsyncIterator[Event]]]


@dataclass(frozen=True, slots=True)
class Leave:
    """How long a client may go on: until its token expires, while token and task still allow it, and while it takes what is sent.

    Asked before an event is sent: after a silence of hours nothing goes out by a permission of before.
    """

    expires_at: datetime
    recheck_seconds: float
    still_allowed: Callable[[], Awaitable[bool]]
    write_seconds: float


class EventStream(Response):
    """`text/event-stream`."""

    media_type = "text/event-stream"

    def __init__(self, events: Events, leave: Leave) -> None:
        # no-transform and X-Accel-Buffering: a proxy between must neither compress nor collect events.
        super().__init__(headers={"cache-control": "no-store, no-transform", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's form
        """Send until the events end, the client leaves or must leave."""
        sending = asyncio.create_task(self._send_all(send))
        leaving = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not sending.done():
                sending.cancel()
            await asyncio.wait({sending, leaving})
        if not sending.cancelled():
            sending.result()

    async def _send_all(self, send: Send) -> None:
        async with self._events() as events:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            checked_at = time.monotonic()
            try:
                async for event in events:
                    if datetime.now(UTC) >= self._leave.expires_at:
                        break
                    if time.monotonic() - checked_at >= self._leave.recheck_seconds:
                        checked_at = time.monotonic()
                        if not await self._leave.still_allowed():
                            break
                    if not await self._write(send, event):
                        break
            except (BusError, StoreError) as error:
                log.warning("stream_interrupted", error=type(error).__name__)  # the client comes back with its last id
        await self._end(send)

    async def _write(self, send: Send, event: Event) -> bool:
        """Whether the client took it: `send` waits while the connection's buffer is full."""
        try:
            async with asyncio.timeout(self._leave.write_seconds):
                await send({"type": "http.response.body", "body": event.encode(), "more_body": True})
        except TimeoutError:
            log.info("slow_client_dropped")
            return False
        return True

    async def _end(self, send: Send) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._leave.write_seconds):
                await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
