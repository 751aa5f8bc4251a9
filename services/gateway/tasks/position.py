"""Where a client is in a task's stream: `<EVT sequence>.<OUT sequence>` of the last event it has seen, and whether that place still exists.

A stream never skips silently: when what follows the client's place was trimmed away, it is told so and starts afresh.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from pydantic import ValidationError

from services.gateway.errors import Gone, invalid
from services.gateway.tasks.view import Progress
from shared.events.output import OutputLine

_POSITION: Final = re.compile(r"([0-9]{1,18})\.([0-9]{1,18})")


class Stored(Protocol):
    """A message as a stream holds it."""

    @property
    def sequence(self) -> int:
        """Its place in the stream."""
        ...

    @property
    def subject(self) -> str:
        """Where it was sent to: who may send there is the server's to hold, so a fact is believed as far as it says the same."""
        ...

    @property
    def data(self) -> bytes:
        """Its bytes."""
        ...


Read = Callable[[str, str, int, int], Awaitable[Sequence[Stored]]]
"""`read(stream, subject, after, limit)`: the next messages of a subject behind a sequence, without a consumer."""


@dataclass(frozen=True, slots=True)
class Position:
    """The last EVT and OUT sequence a client has seen; 0: none."""

    evt: int
    out: int

    def __str__(self) -> str:
        return f"{self.evt}.{self.out}"


@dataclass(frozen=True, slots=True)
class Subjects:
    """What a task's stream reads."""

    facts: str
    output: str


def subjects(owner: str, task_id: str) -> Subjects:
    """The subjects of one task's facts and of the output of its runs."""
    return Subjects(facts=f"evt.*.*.{owner}.{task_id}", output=f"out.{owner}.{task_id}.>")


def parse(text: str) -> Position:
    """A `Last-Event-ID` of ours. Raises Invalid."""
    parts = _POSITION.fullmatch(text)
    if parts is None:
        raise invalid("header.last-event-id", "last_event_id", "must be the id of an event of this stream, or absent")
    return Position(int(parts[1]), int(parts[2]))


def line_of(data: bytes) -> OutputLine | None:
    """A line of output, or None where the bytes are none: an agent's output is untrusted, and so is whoever relays it."""
    try:
        return OutputLine.model_validate_json(data, extra="ignore")
    except ValidationError:
        return None


async def check(read: Read, where: Subjects, position: Position, progress: Progress) -> None:
    """Raises Gone when the streams do not hold everything behind `position` any more, or it is no place of this task."""
    known_fact = position.evt or progress.evt_first
    if known_fact and not await _holds(read, "EVT", where.facts, known_fact):
        raise Gone("The task's facts behind this place are not kept any more.")
    if position.out:
        if not await _holds(read, "OUT", where.output, position.out):
            raise Gone("The task's output behind this place is not kept any more.")
    elif not await _begins(read, where.output, progress):
        raise Gone("The beginning of the task's output is not kept any more.")


async def _holds(read: Read, stream: str, subject: str, sequence: int) -> bool:
    """Streams lose their oldest messages first: while this one is there, all behind it are."""
    found = await read(stream, subject, sequence - 1, 1)
    return bool(found) and found[0].sequence == sequence


async def _begins(read: Read, subject: str, progress: Progress) -> bool:
    """Whether the first line there is the first there was: lines are numbered from 1."""
    found = await read("OUT", subject, 0, 1)
    if not found:
        return progress.view.out_last == 0
    line = line_of(found[0].data)
    return line is None or line.number == 1
