"""Why a run has to stop before its agent ends: somebody decided so, or its time is over. The first reason counts."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

from shared.events.values import Fate, Limits

T = TypeVar("T")

CODES: dict[Fate, str] = {
    Fate.CANCELLED: "cancelled",
    Fate.INTERRUPTED: "cancelled",
    Fate.FINISHED: "cancelled",
    Fate.TIMED_OUT: "step_time",
}
"""The failure a run ends with when this fate was decided while it was out."""


class Stop:
    """Asked for once; everybody who waits hears it."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self.code: str | None = None

    def ask(self, code: str) -> None:
        """Stop for this reason, unless there is one already."""
        if self.code is None:
            self.code = code
            self._asked.set()

    async def wait(self) -> None:
        """Returns when it was asked for."""
        await self._asked.wait()

    async def unless(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Does `work` to its end, or until the stop; what it gave, None when it did not come to its end."""
        doing, stopping = asyncio.ensure_future(work), asyncio.ensure_future(self.wait())
        try:
            await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if not doing.done():
                doing.cancel()
        if doing.done() and not doing.cancelled():
            return await doing
        await asyncio.wait({doing})
        return None


class Leaving:
    """The runner is about to stop: whoever is at work hears it in time to leave something behind."""

    def __init__(self) -> None:
        self.announced = False
        self._hearers = set[Callable[[], Awaitable[None]]]()

    @contextmanager
    def heard_by(self, hearer: Callable[[], Awaitable[None]]) -> Generator[None]:
        """While inside, it is called when the runner stops."""
        self._hearers.add(hearer)
        try:
            yield
        finally:
            self._hearers.discard(hearer)

    async def announce(self) -> None:
        """Returns when everybody has done what they want to do."""
        self.announced = True
        await asyncio.gather(*(hearer() for hearer in tuple(self._hearers)))


class Clocks:
    """The run's time limits, by the monotonic clock, from the moment its agent starts."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._begun = self._heard = time.monotonic()

    def start(self) -> None:
        """The agent starts now."""
        self._begun = self._heard = time.monotonic()

    def heard(self) -> None:
        """The agent said something."""
        self._heard = time.monotonic()

    async def watch(self, stop: Stop) -> None:
        """Asks for the stop when a limit is reached."""
        while True:
            now = time.monotonic()
            wall = self._begun + self._limits.wall_seconds - now
            idle = self._heard + self._limits.idle_seconds - now
            if min(wall, idle) <= 0:
                stop.ask("wall_time" if wall <= 0 else "idle_time")
                return
            await asyncio.sleep(min(wall, idle))
