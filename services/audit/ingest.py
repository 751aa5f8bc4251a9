"""The one writer of the trail: reads what the mirrors have, enters it in their order, seals.

What was entered is known by the log alone: a batch is entered in one transaction and the next read goes on from where the log ends, so a
process that dies in a batch has entered all of it or nothing. Must never enter, seal or go on over a log that contradicts a published
checkpoint: it stands still then, says so in its readiness, and waits for a person.
"""

import asyncio
import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

from services.audit.entry import Entry
from services.audit.errors import LogMoved, NotCurrent, TrailBroken
from services.audit.ledger import Ledger, Writer
from services.audit.merkle import Frontier
from services.audit.mirrors import MIRROR_OF, Mirrors
from services.audit.seal import Sealer
from shared.bus.errors import BusError
from shared.bus.streams import Stream
from shared.store.errors import StoreError

log = structlog.get_logger(__name__)

STREAMS = tuple(MIRROR_OF)


class Role(StrEnum):
    """What this replica does about the log."""

    STARTING = "starting"
    STANDBY = "standby"
    WRITER = "writer"
    BROKEN = "broken"


@dataclass(frozen=True)
class Pace:
    """How the writer goes about it."""

    batch: int = 500
    """Messages of one stream in one transaction."""
    idle_seconds: float = 0.2
    """Between two looks at mirrors that had nothing new: they cannot wake us."""
    retry_seconds: float = 1.0
    """After a failure, and between two tries to become the writer."""


@dataclass
class _Log:
    """The log as the writer knows it: changed only after the database has it."""

    frontier: Frontier
    cursors: dict[str, int]


@dataclass
class Ingest:
    """`run` until it is cancelled; the other methods say how it goes."""

    ledger: Ledger
    mirrors: Mirrors
    sealer: Sealer
    pace: Pace = field(default_factory=Pace)
    role: Role = Role.STARTING
    problem: str = ""
    _log: _Log | None = None

    async def run(self) -> None:
        """Become the writer, or wait until the one there is ends; then write. Failures that can pass are waited out."""
        while self.role is not Role.BROKEN:
            try:
                async with self.ledger.candidate() as candidate:
                    while (writer := await candidate.elected()) is None:
                        self._become(Role.STANDBY)
                        await asyncio.sleep(self.pace.retry_seconds)
                    await self._write(writer)
            except (StoreError, LogMoved, OSError) as error:
                self._become(Role.STARTING, f"{type(error).__name__}: {error}")
                log.warning("trail_interrupted", error=self.problem)
                await asyncio.sleep(self.pace.retry_seconds)
            except TrailBroken as error:
                self._become(Role.BROKEN, str(error))
                log.critical("trail_broken", error=str(error))

    async def current(self, max_lag: int) -> None:
        """Raises NotCurrent when more than `max_lag` messages are not in the log yet, and why. A standby answers for itself alone."""
        if self.role in {Role.BROKEN, Role.STARTING}:
            raise NotCurrent(self.problem or self.role.value)
        known = self._log
        if known is None:
            return
        for stream in STREAMS:
            entered = known.cursors[stream]  # before the question: the writer goes on meanwhile
            standing = await self.mirrors.standing(stream)
            if standing.last < entered:
                raise NotCurrent(f"{stream} was put back: the log has {entered} messages of it, its mirror {standing.last}")
            if (behind := standing.lag + standing.last - entered) > max_lag:
                raise NotCurrent(f"{stream}: {behind} messages are not in the log yet, {standing.lag} of them not in its mirror")

    async def sealed(self, max_unsealed: int) -> None:
        """Raises NotCurrent when more than `max_unsealed` entries have no checkpoint over them."""
        if self._log is not None and (unsealed := self._log.frontier.size - self.sealer.sealed_size) > max_unsealed:
            raise NotCurrent(f"{unsealed} entries are not sealed: {self.problem or 'the next checkpoint is due'}")

    async def _write(self, writer: Writer) -> None:
        published = await self.sealer.recover()
        taken = await writer.take_up(published, STREAMS)
        await self.sealer.catch_up(taken.recorded)
        known = self._log = _Log(taken.frontier, dict(taken.cursors))
        self._become(Role.WRITER)
        log.info("trail_taken_up", size=known.frontier.size, sealed=self.sealer.sealed_size)
        while True:
            entered = await self._round(writer, known)
            await self.sealer.seal_when_due(writer, known.frontier)
            if not entered:
                await asyncio.sleep(self.pace.idle_seconds)

    async def _round(self, writer: Writer, known: _Log) -> int:
        """Enter what each stream has next, up to a batch of each; gives how many entries that were."""
        batches = await asyncio.gather(*(self._read(stream, known.cursors[stream]) for stream in STREAMS))
        # Oldest first over all streams; within a stream the origin's order, whatever its clock did.
        entries = list(heapq.merge(*batches, key=lambda entry: entry.stored_at))
        if not entries:
            return 0
        leaf_hashes = await writer.append(known.frontier.size, entries)
        known.frontier = known.frontier.extended(leaf_hashes)
        known.cursors |= {batch[-1].stream: batch[-1].stream_sequence for batch in batches if batch}
        return len(entries)

    async def _read(self, stream: Stream, after: int) -> Sequence[Entry]:
        try:
            entries = await self.mirrors.read(stream, after, self.pace.batch)
        except BusError as error:
            log.warning("mirror_unreadable", stream=stream, error=str(error))
            return ()
        _report_gaps(stream, after, entries)
        return entries

    def _become(self, role: Role, problem: str = "") -> None:
        if role is not Role.WRITER:
            self._log = None
        if role is not self.role:
            log.info("trail_role", role=role, before=self.role)
        self.role, self.problem = role, problem


def _report_gaps(stream: Stream, after: int, entries: Sequence[Entry]) -> None:
    """A gap is entered as it is, provably: the alarm is raised here, the proof is in the log."""
    expected = after + 1
    for entry in entries:
        if entry.stream_sequence != expected:
            log.error("stream_gap", stream=stream, expected=expected, got=entry.stream_sequence)
        expected = entry.stream_sequence + 1
