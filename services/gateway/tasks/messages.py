"""A task's chat history, page by page: from the stream while the agent runs, from the transcript once it has ended.

A cursor names a line by its attempt and number, so that it means the same in both; the sequence in OUT beside it saves reading again.
"""

import re
from dataclasses import dataclass
from typing import Final

from services.gateway.errors import GatewayError, invalid
from services.gateway.tasks.position import Read, Subjects, line_of
from services.gateway.tasks.schemas import Messages
from shared.events.output import OutputLine

MAX_PAGE: Final = 500
_CURSOR: Final = re.compile(r"([0-9]{1,18})\.([0-9]{1,18})\.([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Place:
    """The last line seen: its attempt's fence, its number, and its sequence in OUT where it was read there."""

    fence: int = 0
    number: int = 0
    out: int = 0

    def __str__(self) -> str:
        return f"{self.fence}.{self.number}.{self.out}"

    def behind(self, line: OutputLine) -> bool:
        """Whether `line` comes after this place."""
        return (line.fence, line.number) > (self.fence, self.number)


def parse(text: str) -> Place:
    """A cursor of ours. Raises Invalid."""
    parts = _CURSOR.fullmatch(text)
    if parts is None:
        raise invalid("query.cursor", "cursor", "is not a cursor of this list; take next_cursor of the page before")
    return Place(*(int(part) for part in parts.groups()))


async def from_stream(read: Read, where: Subjects, place: Place, limit: int, *, ended: bool) -> Messages:
    """What the agent said so far behind `place`. There is a next cursor as long as more may follow: until the task has `ended`.

    A task can end without a transcript: its agent never began, or was lost.
    """
    found = await read("OUT", where.output, place.out, limit)
    lines = [(message.sequence, line) for message in found if (line := line_of(message.data)) is not None]
    last = found[-1].sequence if found else place.out
    seen = Place(lines[-1][1].fence, lines[-1][1].number, last) if lines else Place(place.fence, place.number, last)
    following = None if ended and len(found) < limit else str(seen)
    return Messages(messages=[line for _, line in lines if place.behind(line)], next_cursor=following)


def from_transcript(transcript: bytes, place: Place, limit: int) -> Messages:
    """What the agent said in the run that counts, behind `place`."""
    lines = [_line(raw) for raw in transcript.splitlines() if raw.strip()]
    rest = [line for line in lines if place.behind(line)]
    shown = rest[:limit]
    more = str(Place(shown[-1].fence, shown[-1].number)) if len(rest) > limit else None
    return Messages(messages=shown, next_cursor=more)


def _line(raw: bytes) -> OutputLine:
    line = line_of(raw)
    if line is None:
        raise GatewayError("The transcript that is stored cannot be read.")
    return line
