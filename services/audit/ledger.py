"""The trail in Postgres, as its one writer sees it: take up the log, append entries, record checkpoints.

It inserts and reads, and must never update or delete: its role could not, and the tables refuse. One writer at a time holds an advisory
lock in the session that it writes with, so that who lost the lock cannot write; beneath that, the primary key lets no second writer
put anything where another one was first.
"""

import contextlib
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg

from services.audit import checkpoint, replay
from services.audit.checkpoint import Checkpoint, VerifierKey
from services.audit.entry import Entry, describe
from services.audit.errors import CheckpointInvalid, LogMoved, ProofMalformed, TrailBroken
from services.audit.merkle import HASH_BYTES, Frontier
from shared.store.database import Database
from shared.store.errors import translate_connecting

if TYPE_CHECKING:
    _Session: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    _Session = Any

_LOCK = 0x61756469747472  # "audittr"
_CHUNK = 10_000
_COLUMNS = (
    "index",
    "stream",
    "stream_sequence",
    "subject",
    "headers",
    "owner",
    "task",
    "event_id",
    "type",
    "stored_at",
    "data",
    "leaf_hash",
)


@dataclass(frozen=True)
class Sealed:
    """A checkpoint as the database keeps it."""

    point: Checkpoint
    frontier: Frontier
    note: str


@dataclass(frozen=True)
class Taken:
    """The log as it was found, proved against everything that was published."""

    frontier: Frontier
    cursors: Mapping[str, int]
    """The last sequence number of each stream."""
    recorded: Sequence[Sealed]
    """The database's checkpoints that the published file does not have."""


class Writer:
    """The session of the log's one writer."""

    def __init__(self, session: _Session, key: VerifierKey) -> None:
        self._session = session
        self._key = key

    async def take_up(self, published: Sequence[Checkpoint], streams: Sequence[str]) -> Taken:
        """The log, replayed from the last checkpoint that is in both places.

        Raises TrailBroken when it contradicts a published checkpoint: changed, cut, or restored from an older copy.
        """
        with _translated():
            anchor = published[-1].size if published else 0
            base, later = await self._recorded(anchor)
            known = {point.size: point.root for point in (*published, *(sealed.point for sealed in later))}
            frontier = await self._replay(base, known)
            missing = max(known, default=0)
            if frontier.size < missing:
                raise TrailBroken(f"the log was cut: expected at least {missing} entries, got {frontier.size}")
            return Taken(frontier, {stream: await self._cursor(stream) for stream in streams}, later)

    async def append(self, first_index: int, entries: Sequence[Entry]) -> list[bytes]:
        """Add the entries in one transaction and give their leaf hashes; all are there afterwards, or none.

        Raises LogMoved when an entry is there already, StoreUnavailable when nobody knows.
        """
        rows = [_row(first_index + number, entry) for number, entry in enumerate(entries)]
        with _translated():
            async with self._session.transaction():
                await self._session.copy_records_to_table("entries", schema_name="audit", columns=_COLUMNS, records=rows)
        return [row[-1] for row in rows]

    async def record(self, sealed: Sealed) -> None:
        """Keep a published checkpoint; one of this size that is there already is left alone."""
        with _translated():
            await self._session.execute(
                "insert into audit.checkpoints (size, root, frontier, note) values ($1, $2, $3, $4) on conflict (size) do nothing",
                sealed.point.size,
                sealed.point.root,
                b"".join(sealed.frontier.peaks),
                sealed.note,
            )

    async def _recorded(self, anchor: int) -> tuple[Frontier, list[Sealed]]:
        """The newest frontier up to the anchor, and the checkpoints after the anchor. Without an anchor the replay starts at nothing."""
        base = await self._session.fetchrow(
            "select size, root, frontier, note from audit.checkpoints where size <= $1 order by size desc limit 1", anchor
        )
        later = await self._session.fetch("select size, root, frontier, note from audit.checkpoints where size > $1 order by size", anchor)
        frontier = self._sealed(base).frontier if base is not None else Frontier()
        return frontier, [self._sealed(row) for row in later]

    def _sealed(self, row: "asyncpg.Record") -> Sealed:
        size, peaks = row["size"], row["frontier"]
        try:
            point = checkpoint.verify(row["note"], self._key)
            frontier = Frontier(size, tuple(peaks[at : at + HASH_BYTES] for at in range(0, len(peaks), HASH_BYTES)))
        except (CheckpointInvalid, ProofMalformed) as error:
            raise TrailBroken(f"the database's checkpoint of size {size} is not ours: {error}") from error
        if (point.size, point.root) != (size, row["root"]) or frontier.root != point.root:
            raise TrailBroken(f"the database's checkpoint of size {size} is not what its note says: {point.size}, {point.root.hex()}")
        return Sealed(point, frontier, row["note"])

    async def _replay(self, frontier: Frontier, known: Mapping[int, bytes]) -> Frontier:
        replay.require_root(frontier, known)
        while rows := await self._session.fetch(
            "select index, leaf_hash from audit.entries where index >= $1 order by index limit $2", frontier.size, _CHUNK
        ):
            for expected, row in enumerate(rows, frontier.size):
                if row["index"] != expected:
                    raise TrailBroken(f"an entry is missing: expected {expected}, got {row['index']}")
            frontier = replay.extend(frontier, [row["leaf_hash"] for row in rows], known)
        return frontier

    async def _cursor(self, stream: str) -> int:
        newest = await self._session.fetchval("select max(stream_sequence) from audit.entries where stream = $1", stream)
        return newest or 0


class Candidate:
    """A session that can become the writer's. The lock is the session's: it is given back when the session ends, however it ends."""

    def __init__(self, session: _Session, key: VerifierKey) -> None:
        self._session = session
        self._key = key

    async def elected(self) -> Writer | None:
        """The writer, or None while another session holds the lock."""
        with _translated():
            won: bool = await self._session.fetchval("select pg_try_advisory_lock($1)", _LOCK)
        return Writer(self._session, self._key) if won else None


class Ledger:
    """Where writers come from."""

    def __init__(self, database: Database, key: VerifierKey) -> None:
        self._database = database
        self._key = key

    @contextlib.asynccontextmanager
    async def candidate(self) -> AsyncGenerator[Candidate]:
        """A session of its own, which ends with the block."""
        session = await self._database.connect()
        try:
            yield Candidate(session, self._key)
        finally:
            session.terminate()


def _row(index: int, entry: Entry) -> tuple[Any, ...]:
    about = describe(entry.subject, entry.data)
    return (
        index,
        entry.stream,
        entry.stream_sequence,
        entry.subject,
        entry.headers,
        about.owner,
        about.task,
        about.event_id,
        about.type,
        entry.stored_at,
        entry.data,
        entry.leaf_hash(),
    )


@contextlib.contextmanager
def _translated() -> Generator[None]:
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise LogMoved("somebody appended where this writer was about to") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        ours = translate_connecting(error)
        if ours is None:
            raise
        raise ours from error
