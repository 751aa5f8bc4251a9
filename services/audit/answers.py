"""What others may ask of the trail: a person's own entries, and the newest checkpoint. Reads only.

Must never give an entry to anyone but the owner in its subject: entries without one are the operator's, who reads the database.
"""

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from services.audit.errors import NothingSealed
from shared.events.questions import AskTrail, Checkpoint, TrailEntry, TrailPage
from shared.store.database import Database

if TYPE_CHECKING:
    import asyncpg

MAX_ENTRIES = 500
MAX_PAGE_BYTES = 512 * 1024
"""Of the entries' headers and data, which travel as base64: the answer stays below the server's limit of one megabyte for a message.
A single entry over it is in the trail but in no answer: none of ours is a hundredth of that, and a forged one must not stop a person's
pages."""

_OWN = """
select index, stream, stream_sequence, subject, event_id, type, stored_at, headers, data
from audit.entries
where owner = $1 and ($2::uuid is null or task = $2) and index > $3 and octet_length(headers) + octet_length(data) <= $5
order by index limit $4
"""
_NEWEST = "select note from audit.checkpoints order by size desc limit 1"


class Answers:
    """Answers from the database; any replica can give them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def entries(self, question: AskTrail) -> TrailPage:
        """A page of the owner's entries, in the log's order, as far as they fit into one answer."""
        limit = min(max(question.limit, 1), MAX_ENTRIES)
        after = min(max(question.after, -1), 2**63 - 1)
        owner, task = UUID(question.owner), question.task_id and UUID(question.task_id)
        async with self._database.transaction() as connection:
            rows = await connection.fetch(_OWN, owner, task, after, limit + 1, MAX_PAGE_BYTES)
        page = _fitting(rows[:limit])
        return TrailPage(
            entries=tuple(_entry(row) for row in page),
            next_after=page[-1]["index"] if len(page) < len(rows) else None,
        )

    async def checkpoint(self) -> Checkpoint:
        """The newest checkpoint; it was published before it came here. Raises NothingSealed."""
        async with self._database.transaction() as connection:
            note = await connection.fetchval(_NEWEST)
        if note is None:
            raise NothingSealed
        return Checkpoint(note=note)


def _fitting(rows: "Sequence[asyncpg.Record]") -> "Sequence[asyncpg.Record]":
    """As many as fit into one answer."""
    size = 0
    for number, row in enumerate(rows):
        size += len(row["headers"]) + len(row["data"])
        if size > MAX_PAGE_BYTES:
            return rows[:number]
    return rows


def _entry(row: "asyncpg.Record") -> TrailEntry:
    fields: dict[str, Any] = dict(row)
    fields["event_id"] = None if fields["event_id"] is None else str(fields["event_id"])
    for bytes_ in ("headers", "data"):
        fields[bytes_] = base64.b64encode(fields[bytes_])  # the model takes them as they come over the wire
    return TrailEntry.model_validate(fields)
