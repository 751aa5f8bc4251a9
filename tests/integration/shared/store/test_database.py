"""Transactions: all or nothing, claims for one transaction alone, and failures told apart."""

import asyncio
import uuid
from typing import Any

import asyncpg
import pytest

from shared.store import Database, StoreConflict, StoreUnavailable
from shared.store.settings import StoreSettings
from tests.servers.postgres import PostgresDatabase

_NOTE = "insert into scheduler.inbox (consumer, message_id) values ('test', $1)"


class _Stopped(Exception):
    pass


async def test_a_block_that_raises_leaves_nothing(store: Database) -> None:
    with pytest.raises(_Stopped):  # noqa: PT012 - the whole transaction
        async with store.transaction() as connection:
            await connection.execute(_NOTE, "never")
            raise _Stopped
    async with store.transaction() as connection:
        assert await connection.fetchval("select count(*) from scheduler.inbox") == 0


async def test_claims_end_with_their_transaction(database: PostgresDatabase) -> None:
    opened = await Database.open(database.settings("gateway", pool_size=1))
    for sub in (str(uuid.uuid4()), str(uuid.uuid4())):
        async with opened.transaction({"sub": sub}) as connection:
            assert await connection.fetchval("select current_setting('request.jwt.claims')::jsonb ->> 'sub'") == sub
        async with opened.transaction() as connection:
            assert not await connection.fetchval("select current_setting('request.jwt.claims', true)")
    await opened.close()


class _Watched(Database):
    """Looks at a connection before the pool resets it, as a pooler between us and Postgres would not."""

    left: str | None = "not looked at"

    async def _release(self, connection: Any) -> None:
        self.left = await connection.fetchval("select current_setting('request.jwt.claims', true)")
        await super()._release(connection)


async def test_claims_are_the_transactions_and_never_the_sessions(database: PostgresDatabase) -> None:
    opened = await _Watched.open(database.settings("gateway"))
    assert isinstance(opened, _Watched)
    async with opened.transaction({"sub": str(uuid.uuid4())}):
        pass
    assert not opened.left
    await opened.close()


async def test_another_services_tables_are_out_of_reach(store: Database) -> None:
    for table in ("gateway.inbox", "gateway.outbox"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with store.transaction() as connection:
                await connection.fetch(f"select * from {table}")  # noqa: S608 - from the list above


async def test_the_callers_own_errors_pass_unchanged(store: Database) -> None:
    with pytest.raises(asyncpg.UniqueViolationError):  # noqa: PT012 - the whole transaction
        async with store.transaction() as connection:
            await connection.execute(_NOTE, "one")
            await connection.execute(_NOTE, "one")


async def test_a_deadlock_is_a_conflict_that_can_be_tried_again(store: Database) -> None:
    async with store.transaction() as connection:
        await connection.execute("insert into scheduler.inbox (consumer, message_id) values ('a', '1'), ('b', '1')")
    both_hold = asyncio.Barrier(2)

    async def lock(first: str, second: str) -> None:
        async with store.transaction() as connection:
            await connection.execute("delete from scheduler.inbox where consumer = $1", first)
            await both_hold.wait()
            await connection.execute("delete from scheduler.inbox where consumer = $1", second)

    results = await asyncio.gather(lock("a", "b"), lock("b", "a"), return_exceptions=True)
    assert [type(result) for result in results if result is not None] == [StoreConflict]
    assert StoreConflict.retryable


async def test_a_killed_server_is_unavailable_and_the_same_pool_works_again(database: PostgresDatabase, store: Database) -> None:
    with pytest.raises(StoreUnavailable):  # noqa: PT012 - the whole transaction
        async with store.transaction() as connection:
            await connection.execute(_NOTE, "never")
            database.server.kill()
            await connection.execute(_NOTE, "never either")
    with pytest.raises(StoreUnavailable):
        await store.ready()
    database.server.start()
    await store.ready()
    async with store.transaction() as connection:
        assert await connection.fetchval("select count(*) from scheduler.inbox") == 0


async def test_opening_waits_for_a_server_that_is_starting(database: PostgresDatabase) -> None:
    database.server.stop()
    opening = asyncio.create_task(Database.open(database.settings("scheduler")))
    await asyncio.to_thread(database.server.start)
    opened = await opening
    await opened.ready()
    await opened.close()


async def test_a_server_that_never_comes_is_said_so(database: PostgresDatabase) -> None:
    settings = database.settings("scheduler", connect_seconds=0.3)
    nowhere = StoreSettings(url="postgresql://nobody@127.0.0.1:1/none", password_file=settings.password_file, connect_seconds=0.3)
    with pytest.raises(StoreUnavailable):
        await Database.open(nowhere)


async def test_a_changed_password_is_picked_up_by_the_next_connection(database: PostgresDatabase, store: Database) -> None:
    await database.server.execute("alter role async_code_scheduler password 'changed-meanwhile'")
    path = database.password_file("scheduler")
    before = path.read_bytes()
    path.write_bytes(b"changed-meanwhile\n")
    try:
        async with store.transaction(), store.transaction() as second:
            assert await second.fetchval("select 1") == 1
    finally:
        path.write_bytes(before)
        await database.server.execute(f"alter role async_code_scheduler password '{before.decode().strip()}'")


async def test_a_statement_that_takes_too_long_may_be_tried_again(database: PostgresDatabase) -> None:
    hasty = await Database.open(database.settings("scheduler").model_copy(update={"command_seconds": 0.2}))
    with pytest.raises(StoreUnavailable, match="too long"):
        async with hasty.transaction() as connection:
            await connection.execute("select pg_sleep(60)")
    await hasty.ready()
    await hasty.close()
