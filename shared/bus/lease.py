"""Leases and fates: who may work on a run, until when, and what was decided meanwhile. A command is only the work; the lease is the key.

A lease is a key of the bucket `lease` with a time to live, claimed by create and renewed by compare-and-set, each time with the stream's
answer. The key's revision at the claim is the fence: it grows with every claim, through every death of the server (verified).

A lease ends for its holder at the moment before the last renewal that was answered was sent, plus the time to live, minus a margin, by
the monotonic clock: before it can end for anybody else, whatever the network and the server do. Delivery counts and `in_progress` say
nothing about a dead server; this clock does.
"""

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from shared.bus.connection import Bus, Unsubscribe
from shared.bus.errors import BusClosed, LeaseHeld, LeaseLost, ReadFailed, WrongRevision
from shared.bus.publishing import Unstored
from shared.bus.reading import StoredMessage
from shared.bus.streams import Stream
from shared.events.ids import RunId
from shared.events.values import Fate

log = structlog.get_logger(__name__)

_EXPECTED = "Nats-Expected-Last-Subject-Sequence"
_RENEWALS_PER_LIFE = 4
_MARGIN = 0.2
_PAUSE_SECONDS = 0.2
_ATTEMPT_SECONDS = 2.0
_RELEASED = b"{}"
"""Stands where a holder let go: anybody may claim after it, and the revision goes on."""


class Leases:
    """Claims leases that live `ttl_seconds` unless they are renewed (whole seconds: the server counts in those)."""

    def __init__(self, bus: Bus, ttl_seconds: float) -> None:
        self._bus = bus
        self.ttl_seconds = max(1, int(ttl_seconds))

    async def claim(self, run_id: RunId, holder: str) -> "Lease":
        """Claim. Raises LeaseHeld while another's lease on the run lives, Unstored or ReadFailed when the bus does not answer."""
        key = f"$KV.lease.{run_id}"
        value = json.dumps({"holder": holder, "claim": str(uuid.uuid4())}).encode()
        began = time.monotonic()
        try:
            fence = await self.write(key, value, expected=0)
        except WrongRevision:
            fence = await self._claim_after(key, value, await self.last(key))
        return Lease(self, key, value, fence, began)

    async def last(self, key: str) -> StoredMessage | None:
        """What the key holds now. Raises ReadFailed."""
        return await self._bus.reader.last(Stream.KV_LEASE, key)

    async def write(self, key: str, value: bytes, *, expected: int, attempt_seconds: float = _ATTEMPT_SECONDS, attempts: int = 3) -> int:
        """Write the key if its revision is `expected`; the new revision. Every attempt carries the same id, so it is written once."""
        headers = {_EXPECTED: str(expected), "Nats-Msg-Id": str(uuid.uuid4()), "Nats-TTL": f"{self.ttl_seconds}s"}
        for left in reversed(range(attempts)):
            try:
                stored = await self._bus.publisher.attempt(Stream.KV_LEASE, key, value, headers, attempt_seconds)
            except Unstored:
                if not left:
                    raise
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return stored.sequence
        raise AssertionError("unreachable")

    async def _claim_after(self, key: str, value: bytes, held: StoredMessage | None) -> int:
        """Claim a key that has a value: released, or just gone."""
        if held is not None and held.data != _RELEASED:
            raise LeaseHeld(self._remaining(held))
        try:
            return await self.write(key, value, expected=held.sequence if held else 0)
        except WrongRevision as error:
            raise LeaseHeld(self.ttl_seconds) from error

    def _remaining(self, held: StoredMessage) -> float:
        """By this machine's clock, so a hint: at least a little, at most a whole life."""
        age = (datetime.now(UTC) - held.time).total_seconds()
        return min(max(self.ttl_seconds - age, 1.0), float(self.ttl_seconds))


class Lease:
    """A lease that is held. `fence` goes into every fact of the run; after `deadline` nothing may be done in its name."""

    def __init__(self, leases: Leases, key: str, value: bytes, fence: int, began: float) -> None:
        self.fence = fence
        self._leases = leases
        self._key = key
        self._value = value
        self._revision = fence
        self._lost = False
        self.deadline = 0.0
        """Monotonic time at which the lease ends for us."""
        self._extend(began)

    @property
    def alive(self) -> bool:
        """Whether the lease is ours at this moment."""
        return not self._lost and time.monotonic() < self.deadline

    async def renew(self) -> None:
        """Renew once. Raises LeaseLost when it is another's or over, Unstored when the bus did not answer."""
        if not self.alive:
            self._lost = True
            raise LeaseLost(self._key)
        began = time.monotonic()
        try:
            self._revision = await self._write(began)
        except WrongRevision:
            began = await self._recognise()
            self._revision = await self._write(began)
        self._extend(began)

    async def keep(self, on_lost: Callable[[], None], on_renewed: Callable[[], None] | None = None) -> None:
        """Renew until cancelled. When the lease is lost, or may be, call `on_lost` once, at the latest at `deadline`, and return."""
        while True:
            await asyncio.sleep(self._leases.ttl_seconds / _RENEWALS_PER_LIFE)
            try:
                async with asyncio.timeout(max(self.deadline - time.monotonic(), 0)):
                    await self._renew_persistently()
            except (LeaseLost, WrongRevision, TimeoutError, BusClosed) as error:
                self._lost = True
                log.error("lease_lost", key=self._key, fence=self.fence, error=type(error).__name__)  # noqa: TRY400 - it says it all
                on_lost()
                return
            if on_renewed is not None:
                on_renewed()

    async def release(self) -> None:
        """Let go at once, so that nobody waits for the end. A lease that is lost already stays as it is."""
        if self._lost:
            return
        self._lost = True
        try:
            await self._leases.write(self._key, _RELEASED, expected=self._revision)
        except (WrongRevision, Unstored) as error:
            log.warning("lease_not_released", key=self._key, error=type(error).__name__)

    async def _renew_persistently(self) -> None:
        while True:
            try:
                return await self.renew()
            except (Unstored, ReadFailed):
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _write(self, began: float) -> int:
        seconds = max(min(_ATTEMPT_SECONDS, self.deadline - began), 0.01)
        return await self._leases.write(self._key, self._value, expected=self._revision, attempt_seconds=seconds, attempts=1)

    async def _recognise(self) -> float:
        """The revision is not ours. Unless it is a renewal of ours whose answer was lost, so is the lease."""
        held = await self._leases.last(self._key)
        if held is None or held.data != self._value or held.sequence <= self._revision or not self.alive:
            self._lost = True
            raise LeaseLost(self._key)
        self._revision = held.sequence
        return time.monotonic()

    def _extend(self, began: float) -> None:
        self.deadline = began + self._leases.ttl_seconds * (1 - _MARGIN)


class Fates:
    """What the scheduler decided about runs: heard at once, and read when it must be known. Needs the rights of the runner."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def get(self, run_id: RunId) -> Fate | None:
        """The run's fate, if it has one. Raises ReadFailed."""
        stored = await self._bus.reader.last(Stream.KV_FATE, f"$KV.fate.{run_id}")
        return None if stored is None else _fate(stored.data)

    async def watch(self, run_id: RunId, callback: Callable[[Fate], None]) -> Unsubscribe:
        """Call back with the fate that is there, and with each that comes. An outage may swallow one: `get` it at each renewal too."""

        def heard(data: bytes) -> None:
            fate = _fate(data)
            if fate is not None:
                callback(fate)

        unsubscribe = await self._bus.listen(f"$KV.fate.{run_id}", heard)
        if (fate := await self.get(run_id)) is not None:
            callback(fate)
        return unsubscribe


def _fate(data: bytes) -> Fate | None:
    try:
        return Fate(json.loads(data)["fate"])
    except (ValueError, KeyError, TypeError):
        log.warning("fate_unreadable")
        return None
