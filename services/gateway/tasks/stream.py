"""A task's events as they happen: facts and output, read by sequence, woken by a plain subscription; nothing lost, nothing doubled.

A wake-up says only "look": what is sent comes from the streams, in their order, so a lost or early wake-up delays and never skips.
Nothing is queued per client: the next batch is read when the client has taken the last one.
"""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import structlog

from services.gateway.tasks.position import Position, Read, Stored, Subjects, line_of
from services.gateway.tasks.queries import task_of
from services.gateway.tasks.schemas import Task
from services.gateway.tasks.view import STATES, Progress, fold
from shared.events import catalogue
from shared.events.payload import Fact

BATCH: Final = 64
_SETTLE_SECONDS: Final = (0.01, 0.05, 0.25)
"""A wake-up can come before the stream has stored its message: after the last one, look again at these distances."""

log = structlog.get_logger(__name__)


class Watch(Protocol):
    """Wakes its holder for every message on the subjects. `closing` is set when the service stops."""

    async def wait(self, seconds: float) -> bool:
        """Whether something woke us within that time."""
        ...

    @property
    def closing(self) -> bool:
        """Whether the stream is to end now."""
        ...


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event; `name` None: a comment that keeps the connection alive."""

    name: str | None = None
    id: str = ""
    data: str = ""

    def encode(self) -> bytes:
        """The event on the wire (WHATWG HTML, server-sent events); JSON has no line ends of its own."""
        if self.name is None:
            return f": {self.data or 'alive'}\n\n".encode()
        return f"event: {self.name}\nid: {self.id}\ndata: {self.data}\n\n".encode()


@dataclass(frozen=True, slots=True)
class Pace:
    """How often an idle stream says that it lives and looks again by itself."""

    heartbeat_seconds: float


class TaskStream:
    """The events of one task behind one position."""

    def __init__(self, read: Read, watch: Watch, where: Subjects, *, task: Task, progress: Progress, position: Position | None) -> None:
        self._read = read
        self._watch = watch
        self._where = where
        self._task = task
        self._progress = progress
        self._fresh = position is None
        self.position = position or Position(progress.evt_sequence, 0)
        # What the row does not know yet has to be folded before anything newer: read on from the older of both.
        self._folded = min(self.position.evt, progress.evt_sequence)
        self._settle: list[float] = []

    async def events(self, pace: Pace) -> AsyncIterator[Event]:
        """The events, until the task has ended or the service stops."""
        if self._fresh:
            yield Event("snapshot", str(self.position), self._task.model_dump_json())
        while not self._watch.closing:
            facts = await self._read("EVT", self._where.facts, self._folded, BATCH)
            # Output is read after the facts: what a fact follows is then out before it.
            async for event in self._output():
                yield event
            for event in self._tell(facts):
                yield event
            if len(facts) == BATCH:
                continue
            if self._progress.ended and self.position.evt >= self._progress.evt_sequence:
                yield Event("end", str(self.position), self._task.model_dump_json())
                return
            if not await self._something_new(pace):
                yield Event()

    async def _output(self) -> AsyncIterator[Event]:
        while True:
            found = await self._read("OUT", self._where.output, self.position.out, BATCH)
            for message in found:
                self.position = Position(self.position.evt, message.sequence)
                line = line_of(message.data)
                if line is None:
                    log.warning("output_unreadable", sequence=message.sequence)
                    continue
                yield Event("output", str(self.position), line.model_dump_json())
            if len(found) < BATCH:
                return

    def _tell(self, found: Sequence[Stored]) -> list[Event]:
        return [event for message in found if (event := self._fact(message)) is not None]

    def _fact(self, message: Stored) -> Event | None:
        self._folded = message.sequence
        try:
            envelope = catalogue.parse(message.data, message.subject)
        except catalogue.InvalidMessage:
            log.warning("fact_unreadable", sequence=message.sequence)
            return None
        progress = fold(self._progress, message.sequence, envelope)
        if progress is not self._progress:
            self._progress, self._task = progress, task_of(self._task, progress, envelope.time)
        if message.sequence <= self.position.evt:
            return None
        self.position = Position(message.sequence, self.position.out)
        fact: Fact = envelope.data
        state = STATES.get(type(fact))
        content = {"type": envelope.type, "at": _iso(envelope.time), "data": fact.model_dump(mode="json")}
        if state is None:
            return Event("fact", str(self.position), json.dumps(content))
        return Event("state", str(self.position), json.dumps({"state": state} | content))

    async def _something_new(self, pace: Pace) -> bool:
        """Wait until it is time to look again; False when it is time for a heartbeat instead."""
        pause = self._settle.pop(0) if self._settle else None
        woken = await self._watch.wait(pace.heartbeat_seconds if pause is None else pause)
        if woken:
            self._settle = list(_SETTLE_SECONDS)
        return woken or pause is not None


def _iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
