"""The open streams of this process: how many there may be, what wakes them, and how they all end when the service stops."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from services.gateway.errors import TooManyStreams
from services.gateway.tasks.position import Subjects

Unsubscribe = Callable[[], Awaitable[None]]
Subscribe = Callable[[str, Callable[..., None]], Awaitable[Unsubscribe]]


class Wakeups:
    """The wake-ups of one stream: any number between two looks is one."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.closing = False

    def wake(self, *_about: object) -> None:
        """Look again."""
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """Whether something woke us within that time."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True


class Streams:
    """Opens streams within limits, and ends them all at once."""

    def __init__(self, subscribe: Subscribe, *, limit: int, limit_per_owner: int) -> None:
        self._subscribe = subscribe
        self._limit = limit
        self._limit_per_owner = limit_per_owner
        self._open: set[Wakeups] = set()
        self._of_owner: Counter[str] = Counter()
        self._closing = False

    @asynccontextmanager
    async def open(self, owner: str, where: Subjects) -> AsyncGenerator[Wakeups]:
        """Wake-ups for these subjects while the block runs. Raises TooManyStreams."""
        if len(self._open) >= self._limit or self._of_owner[owner] >= self._limit_per_owner:
            raise TooManyStreams
        watch = Wakeups()
        watch.closing = self._closing
        self._open.add(watch)
        self._of_owner[owner] += 1
        try:
            async with AsyncExitStack() as subscriptions:
                for subject in (where.facts, where.output):
                    subscriptions.push_async_callback(await self._subscribe(subject, watch.wake))
                yield watch
        finally:
            self._open.discard(watch)
            self._of_owner[owner] -= 1
            if not self._of_owner[owner]:
                del self._of_owner[owner]

    def close(self) -> None:
        """End every stream, now and from now on: clients come back with their last id, to whoever serves then."""
        self._closing = True
        for watch in self._open:
            watch.closing = True
            watch.wake()
