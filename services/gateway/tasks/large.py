"""Answers of megabytes: few of one owner in memory at a time, and none longer than its client takes it.

What an agent made may be as large as a blob, and asking for it costs nothing: without a bound, one person's requests for one large result
fill this process's memory, and so stop everybody's.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

PER_OWNER: Final = 4
_PIECE_BYTES: Final = 256 * 1024

log = structlog.get_logger(__name__)


class Turns:
    """Who holds a large answer: `PER_OWNER` of each owner, the others of that owner wait."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[asyncio.Semaphore, int]] = {}

    @asynccontextmanager
    async def of(self, owner: str) -> AsyncGenerator[None]:
        """Held while the answer is in memory."""
        turns, count = self._waiting.get(owner, (asyncio.Semaphore(PER_OWNER), 0))
        self._waiting[owner] = (turns, count + 1)
        try:
            async with turns:
                yield
        finally:
            count = self._waiting[owner][1]
            if count > 1:
                self._waiting[owner] = (turns, count - 1)
            else:
                del self._waiting[owner]


class LargeResponse(Response):
    """Bytes that are fetched when it is their turn, and let go when they are sent, or when the client takes nothing for too long."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[bytes]],
        turn: AbstractAsyncContextManager[None],
        *,
        headers: Mapping[str, str],
        write_seconds: float,
    ) -> None:
        super().__init__(headers=dict(headers))
        del self.headers["content-length"]
        self._fetch = fetch
        self._turn = turn
        self._write_seconds = write_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's form
        """Raises what fetching raises, before the answer begins."""
        async with self._turn:
            content = memoryview(await self._fetch())
            self.headers["content-length"] = str(len(content))
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            with contextlib.suppress(TimeoutError):
                for begin in range(0, len(content), _PIECE_BYTES):
                    async with asyncio.timeout(self._write_seconds):
                        piece = content[begin : begin + _PIECE_BYTES].tobytes()
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            log.info("slow_client_dropped")
