"""Messages that leave a service: written in the transaction that changes its state, published afterwards by one relay.

A message is published if and only if that transaction committed; published at least once, always under the same message id, in the order
in which the rows were written. It is deleted only after `publish` has returned, which means that NATS has stored it.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog

from shared.events.envelope import Envelope
from shared.store.database import Connection, Database
from shared.store.errors import OutboxFull, OutboxStands, StoreUnavailable, translate_connecting
from shared.store.schemas import checked

if TYPE_CHECKING:
    Session = asyncpg.Connection[asyncpg.Record]
else:
    Session = Any

log = structlog.get_logger(__name__)

_STREAMS = {"cmd": "CMD", "evt": "EVT"}
_LOCK_SPACE = 0x6F757462  # "outb"
_LEAD_AGAIN_SECONDS = 1.0
_POLL_SECONDS = 1.0
_RECONNECT_SECONDS = 0.5
_STOP_SECONDS = 5.0
_BATCH = 100
_UNBOUNDED = 2**62
_BACKOFF_SECONDS = (0.1, 0.5, 1, 2, 5)


@dataclass(frozen=True)
class OutboxRow:
    """One message that waits. `message_id` becomes its `Nats-Msg-Id`; `payload` are the exact bytes."""

    id: int
    stream: str
    subject: str
    message_id: str
    payload: bytes
    created_at: datetime


Publish = Callable[[OutboxRow], Awaitable[None]]
"""Returns once the row is stored by NATS. May raise: the row is then tried again, and nothing behind it overtakes it."""


class Outbox:
    """The table `<schema>.outbox`.

    Ids are given out when a row is written, not when it is committed. So a transaction that moves a task locks that task's row first:
    then what is said about one task stands here in the order in which it happened.

    With `max_rows`, about so many wait at most (writers that commit at the same time may pass it by one each): what nobody takes away must
    not grow with what people ask for. None where only what was taken in already makes messages.
    """

    def __init__(self, schema: str, max_rows: int | None = None) -> None:
        self.schema = checked(schema)
        self.channel = f"{schema}_outbox"
        self._max_rows = _UNBOUNDED if max_rows is None else max_rows
        # By the ids at both ends, which an index knows: to count the rows would take longer the more of them wait.
        self._insert = (
            f"with row as (insert into {schema}.outbox (stream, subject, message_id, payload) "  # noqa: S608
            "select $1::text, $2::text, $3::text, $4::bytea "
            f"where coalesce((select max(id) - min(id) + 1 from {schema}.outbox), 0) < $5::bigint returning id) "
            f"select id, pg_notify('{self.channel}', '') from row"
        )
        self._waiting = f"select id, stream, subject, message_id, payload, created_at from {schema}.outbox order by id limit {_BATCH}"  # noqa: S608
        self._there = f"select exists (select from {schema}.outbox where id = $1)"  # noqa: S608
        self._delete = f"delete from {schema}.outbox where id = any($1::bigint[])"  # noqa: S608
        self._oldest = f"select coalesce(extract(epoch from now() - min(created_at)), 0)::float8 from {schema}.outbox"  # noqa: S608

    async def enqueue(self, connection: Connection, envelope: Envelope[Any]) -> None:
        """Send a command or fact when this transaction commits. Raises OutboxFull."""
        stream = _STREAMS[envelope.data.KIND]
        await self.enqueue_raw(connection, stream, envelope.nats_subject, envelope.encode(), envelope.id)

    async def enqueue_raw(self, connection: Connection, stream: str, subject: str, payload: bytes, message_id: str) -> None:
        """Send these bytes when this transaction commits: a blob of bytes on any stream, a key of a bucket. Raises OutboxFull."""
        if not connection.is_in_transaction():
            raise RuntimeError("a message enters the outbox in the transaction that it tells of")
        if await connection.fetchrow(self._insert, stream, subject, message_id, payload, self._max_rows) is None:
            raise OutboxFull(f"{self._max_rows} messages wait to go out")

    async def waiting(self, connection: Connection) -> list[OutboxRow]:
        """The next rows to publish, in order."""
        return [OutboxRow(**dict(row)) for row in await connection.fetch(self._waiting)]

    async def delete(self, connection: Connection, row_ids: list[int]) -> None:
        """Forget rows that are published."""
        await connection.execute(self._delete, row_ids)

    async def holds(self, connection: Connection, row_id: int) -> bool:
        """Whether the row is there still: an operator may take one away that can never be published."""
        return await connection.fetchval(self._there, row_id)

    async def oldest_seconds(self, connection: Connection) -> float:
        """How long the first row has waited; 0 where none waits. A figure that grows means that nothing goes out."""
        return await connection.fetchval(self._oldest)

    async def moving(self, database: Database, within_seconds: float) -> None:
        """For `/readyz`. Raises OutboxStands when the first row has waited longer, which also a row does that can never be published."""
        async with database.transaction() as connection:
            waited = await self.oldest_seconds(connection)
        if waited > within_seconds:
            raise OutboxStands(f"the first message has waited {waited:.0f} seconds; the log says why (relay_cannot_publish)")


class Relay:
    """Publishes what an outbox holds. Any number may run: the one that holds the advisory lock works, the others wait for it.

    A relay that lost its lock without noticing can at worst publish rows again that its successor publishes too, under the same ids.
    """

    def __init__(self, database: Database, outbox: Outbox, publish: Publish) -> None:
        self._database = database
        self._outbox = outbox
        self._publish = publish
        self._lock_key = zlib.crc32(outbox.schema.encode()) & 0x7FFFFFFF
        self.leading = asyncio.Event()
        """Set while this relay is the one that publishes."""

    async def run(self) -> None:
        """Work until cancelled. Restarts of Postgres and failures to publish are logged and waited out."""
        while True:
            try:
                await self._session()
            except StoreUnavailable as error:
                log.warning("relay_lost_database", schema=self._outbox.schema, reason=str(error))
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def _session(self) -> None:
        connection = await self._database.connect(application_name=f"{self._outbox.schema}_relay")
        try:
            await self._lead(connection)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            if (ours := translate_connecting(error)) is None:
                raise
            raise ours from error
        finally:
            self.leading.clear()
            connection.terminate()  # not `close`: the server frees the lock at once, whatever state the session is in

    async def _lead(self, connection: Session) -> None:
        woken = asyncio.Event()

        def wake(*_about: object) -> None:
            woken.set()

        connection.add_termination_listener(wake)
        # Not the waiting form of the lock: a statement that waits keeps a snapshot, and with it every dead row of the database.
        while not await connection.fetchval("select pg_try_advisory_lock($1::int, $2::int)", _LOCK_SPACE, self._lock_key):  # noqa: ASYNC110
            await asyncio.sleep(_LEAD_AGAIN_SECONDS)
        await connection.add_listener(self._outbox.channel, wake)
        self.leading.set()
        log.info("relay_leads", schema=self._outbox.schema)
        while True:
            woken.clear()
            while await self._publish_batch(connection):
                pass
            await _wait(woken, _POLL_SECONDS)

    async def _publish_batch(self, connection: Session) -> int:
        """Publish the first rows one after the other, then delete those that are out; gives how many."""
        published: list[int] = []
        try:
            for row in await self._outbox.waiting(connection):
                await self._publish_until_stored(row, connection)
                published.append(row.id)
        finally:
            if published and not connection.is_closed():
                await _to_its_end(self._outbox.delete(connection, published))
        return len(published)

    async def _publish_until_stored(self, row: OutboxRow, connection: Session) -> None:
        """Try until it is out, or taken away: a row that cannot be published stops those behind it, loudly, rather than being lost."""
        failures = 0
        while True:
            try:
                return await self._publish(row)
            except Exception as error:
                log.exception("relay_cannot_publish", schema=self._outbox.schema, subject=row.subject, row_id=row.id, failures=failures + 1)
                await asyncio.sleep(_backoff(failures))
                failures += 1
                if connection.is_closed():
                    raise StoreUnavailable("the relay's session ended while it could not publish") from error
                if not await self._outbox.holds(connection, row.id):
                    log.warning("relay_row_taken_away", schema=self._outbox.schema, subject=row.subject, row_id=row.id)
                    return None


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """A stop waits for it: what is published and not deleted is published again by the next relay."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=_STOP_SECONDS)
        if not task.done():
            task.cancel()
        elif not task.cancelled() and (error := task.exception()) is not None:
            log.warning("relay_deleted_nothing", reason=type(error).__name__)
        raise


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def _backoff(failures: int) -> float:
    return _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)]
