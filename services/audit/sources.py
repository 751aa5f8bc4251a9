"""Where the rows of a log come from when it is verified: the database, with the right to read alone, or an export of it.

Reads only; it never judges what it reads.
"""

import base64
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias

from services.audit.entry import Description, Entry
from services.audit.errors import EntryInvalid
from services.audit.verification import Row
from shared.store.database import Database
from shared.store.settings import StoreSettings

if TYPE_CHECKING:
    import asyncpg

    _Session: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    _Session = Any

_ROWS = """
select index, stream, stream_sequence, subject, headers, owner, task, event_id, type, stored_at, data, leaf_hash
from audit.entries order by index
"""
_NOTES = "select note from audit.checkpoints order by size"
_PREFETCH = 2_000


class Source(Protocol):
    """A log that can be verified."""

    async def notes(self) -> list[str]:
        """The checkpoints that it keeps itself, for comparison; none where it keeps none."""
        ...

    def rows(self) -> AsyncIterator[Row]:
        """Every row, in the order of the index."""
        ...


class DatabaseSource(Source):
    """The log in Postgres, as of one moment: the service may go on meanwhile."""

    def __init__(self, session: _Session) -> None:
        self._session = session

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls, settings: StoreSettings) -> AsyncGenerator[Self]:
        """Connected with the role of the settings' address (`async_code_audit_reader`). Raises StoreUnavailable."""
        database = await Database.open(settings)
        try:
            session = await database.connect()
            try:
                yield cls(session)
            finally:
                await session.close()
        finally:
            await database.close()

    async def notes(self) -> list[str]:
        """Read before the rows, so that every row that they cover is there."""
        return [row["note"] for row in await self._session.fetch(_NOTES)]

    async def rows(self) -> AsyncIterator[Row]:
        """By a cursor in one snapshot."""
        async with self._session.transaction(isolation="repeatable_read", readonly=True):
            async for record in self._session.cursor(_ROWS, prefetch=_PREFETCH):
                yield _from_record(record)


class ExportSource(Source):
    """What `write_export` wrote: one JSON object per line. It carries no checkpoints: those come from where they were published."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def notes(self) -> list[str]:
        """None."""
        return []

    async def rows(self) -> AsyncIterator[Row]:
        """Line by line. Raises EntryInvalid at a line that is no entry."""
        with self._path.open("r", encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield _from_json(json.loads(line))
                except (ValueError, KeyError, TypeError) as error:
                    raise EntryInvalid(f"line {number} of {self._path} is no entry: {type(error).__name__}") from error


async def write_export(source: Source, path: Path) -> int:
    """Write every row of a log to a file that can be verified without its database; gives how many there are."""
    count = 0
    with path.open("x", encoding="utf-8") as file:
        async for row in source.rows():
            file.write(json.dumps(_to_json(row), separators=(",", ":")) + "\n")
            count += 1
    return count


def _from_record(record: "asyncpg.Record") -> Row:
    index, stream, sequence, subject, headers, owner, task, event_id, type_, stored_at, data, leaf_hash = record
    description = Description(owner and str(owner), task and str(task), event_id and str(event_id), type_)
    return Row(index, Entry(stream, sequence, subject, headers, stored_at, data), description, leaf_hash)


def _to_json(row: Row) -> dict[str, object]:
    entry, about = row.entry, row.description
    return {
        "index": row.index,
        "stream": entry.stream,
        "stream_sequence": entry.stream_sequence,
        "subject": entry.subject,
        "headers": base64.b64encode(entry.headers).decode(),
        "owner": about.owner,
        "task": about.task,
        "event_id": about.event_id,
        "type": about.type,
        "stored_at": entry.stored_at.isoformat(),
        "data": base64.b64encode(entry.data).decode(),
        "leaf_hash": row.leaf_hash.hex(),
    }


def _from_json(fields: dict[str, Any]) -> Row:
    entry = Entry(
        str(fields["stream"]),
        int(fields["stream_sequence"]),
        str(fields["subject"]),
        base64.b64decode(fields["headers"], validate=True),
        datetime.fromisoformat(fields["stored_at"]),
        base64.b64decode(fields["data"], validate=True),
    )
    description = Description(fields["owner"], fields["task"], fields["event_id"], fields["type"])
    return Row(int(fields["index"]), entry, description, bytes.fromhex(fields["leaf_hash"]))
