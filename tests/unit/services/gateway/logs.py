"""A fake of the streams EVT and OUT: what `Bus.read` gives, from memory; and a task's life to put in."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from shared.events import envelope
from shared.events.facts import TaskFailed, TaskPreparing, TaskQueued, TaskRunning
from shared.events.failures import failure
from shared.events.ids import RunId
from shared.events.output import AgentEvent, OutputLine
from shared.events.payload import Fact

OWNER = "11111111-2222-4333-8444-555555555555"
TASK = "22222222-2222-4333-8444-555555555555"
RUN = RunId("33333333-2222-4333-8444-555555555555")
AT = datetime(2026, 11, 22, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Message:
    sequence: int
    data: bytes
    subject: str = ""


@dataclass
class Log:
    """Both streams, with gaps in their numbers as other tasks' messages make them."""

    kept: dict[str, list[Message]] = field(default_factory=lambda: {"EVT": [], "OUT": []})
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, stream: str, data: bytes, *, gap: int = 0, subject: str = "") -> int:
        messages = self.kept[stream]
        sequence = (messages[-1].sequence if messages else 0) + 1 + gap
        messages.append(Message(sequence, data, subject))
        self.arrived.set()
        return sequence

    def fact(self, payload: Fact, *, gap: int = 0, subject: str | None = None) -> int:
        at = AT + timedelta(seconds=len(self.kept["EVT"]))
        told = envelope.new(payload, source="scheduler", owner=OWNER, task=TASK, at=at)
        return self.add("EVT", told.encode(), gap=gap, subject=subject or told.nats_subject)

    def line(self, number: int, *, gap: int = 0, fence: int = 7) -> int:
        event = AgentEvent(kind="message", text=f"line {number}")
        return self.add("OUT", OutputLine(run_id=RUN, fence=fence, number=number, at=AT, event=event).model_dump_json().encode(), gap=gap)

    async def read(self, stream: str, _subject: str, after: int, limit: int) -> list[Message]:
        await asyncio.sleep(0)
        return [message for message in self.kept[stream] if message.sequence > after][:limit]


LIFE: tuple[Fact, ...] = (TaskQueued(), TaskPreparing(), TaskRunning(run_id=RUN), TaskFailed(failure=failure("internal")))
