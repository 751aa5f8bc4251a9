"""How much of one door may be under way at once: what its budget pays for, and what this process can bear for one sandbox.

A budget is looked at when a request begins and charged when its answer ends. Without a promise in between, any number that begin together
find the same budget untouched (seen: 90 dollars against a budget of one cent).
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext

from services.runner.egress.doors import Door
from services.runner.egress.vendors.vendor import Refused

AT_ONCE = 16
"""Requests of one door that the upstream sees at a time; more wait."""
LARGE_BYTES = 1024 * 1024
LARGE_AT_ONCE = 2
"""Large bodies of one door that are in memory at a time."""


class Room:
    """One door's room. No I/O."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._under_way = 0
        self._promised_usd = 0.0
        self._changed = asyncio.Event()
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)

    def for_body(self, size_bytes: int | None) -> "asyncio.Semaphore | nullcontext[None]":
        """Held while a body of this size (None: not said) is in memory."""
        return self._large if size_bytes is None or size_bytes > LARGE_BYTES else nullcontext()

    def admit(self) -> None:
        """Raises Refused where the door has let through all it may."""
        if self._door.exhausted:
            raise Refused("budget_exceeded")
        if self._door.answered_out:
            raise Refused("turns_used_up")

    @asynccontextmanager
    async def taken(self, worst_usd: float) -> AsyncGenerator[None]:
        """Waits until the budget pays for this one beside those under way, even if each costs its worst. Raises Refused.

        One alone always may: a budget below a request's worst would pay for nothing. So it is overrun by one request at most.
        """
        while not self._fits(worst_usd):
            self._changed.clear()
            await self._changed.wait()
        self.admit()
        self._under_way += 1
        self._promised_usd += worst_usd
        try:
            yield
        finally:
            self._under_way -= 1
            self._promised_usd = self._promised_usd - worst_usd if self._under_way else 0.0
            self._changed.set()

    def _fits(self, worst_usd: float) -> bool:
        if self._under_way == 0 or self._door.exhausted:
            return True
        left = self._door.max_cost_usd - self._door.spending.cost_usd - self._promised_usd
        return self._under_way < AT_ONCE and worst_usd <= left
