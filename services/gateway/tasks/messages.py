"""A task's chat history, page by page: from the stream while the agent runs, from the transcript once it has ended.

A cursor names a line by its attempt and number, so that it means the same in both; the sequence in OUT beside it saves reading again.
"""

import re
from dataclasses import dataclass
from typing import Final

from services.gateway.errors import GatewayError, invalid
from services.gateway.tasks.position import Read, Stored, Subjects, line_of
from services.gateway.tasks.schemas import Messages
from shared.events.output import OutputLine

MAX_PAGE: Final = 500
PAGE_BYTES: Final = 4 * 1024 * 1024
"""A page ends early behind that much: one line may have 400 kB."""
_PIECE: Final = 50
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
    found, all_there_is = await _some(read, where.output, place.out, limit)
    lines = [(message.sequence, line) for message in found if (line := line_of(message.data)) is not None]
    last = found[-1].sequence if found else place.out
    seen = Place(lines[-1][1].fence, lines[-1][1].number, last) if lines else Place(place.fence, place.number, last)
    following = None if ended and all_there_is else str(seen)
    return Messages(messages=[line for _, line in lines if place.behind(line)], next_cursor=following)


async def _some(read: Read, subject: str, after: int, limit: int) -> tuple[list[Stored], bool]:
    """Up to `limit` messages, or as many as `PAGE_BYTES` hold; and whether there are no more now."""
    found: list[Stored] = []
    size = 0
    while len(found) < limit and size < PAGE_BYTES:
        wanted = min(_PIECE, limit - len(found))
        more = await read("OUT", subject, found[-1].sequence if found else after, wanted)
        found += more
        size += sum(len(message.data) for message in more)
        if len(more) < wanted:
            return found, True
    return found, False


def from_transcript(transcript: bytes, place: Place, limit: int) -> Messages:
    """What the agent said in the run that counts, behind `place`.

    A transcript holds one attempt, its lines numbered from 1 without a gap: so a page is found without reading what stands before and
    after it. Hundreds of thousands of lines fit in one, and reading them all for each page took seconds of everybody's time.
    """
    lines = transcript.splitlines()
    if not lines:
        return Messages(messages=[], next_cursor=None)
    fence = _line(lines[0]).fence
    begin = 0 if place.fence < fence else place.number if place.fence == fence else len(lines)
    shown: list[OutputLine] = []
    size = 0
    for raw in lines[begin : begin + limit]:
        shown.append(_line(raw))
        size += len(raw)
        if size >= PAGE_BYTES:
            break
    end = begin + len(shown)
    return Messages(messages=shown, next_cursor=str(Place(fence, end)) if end < len(lines) else None)


def _line(raw: bytes) -> OutputLine:
    line = line_of(raw)
    if line is None:
        raise GatewayError("The transcript that is stored cannot be read.")
    return line
