"""Pruning on a real database: what goes, in what pieces, and that replicas and outages do no harm."""

import asyncio
from datetime import timedelta

import pytest

from shared.store import Database, Inbox, Pruning, Rule, StoreUnavailable
from tests.servers.postgres import PostgresDatabase, PostgresServer

_WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"

RULE = Inbox("scheduler").rule()


async def fill(database: PostgresDatabase, old: int, new: int = 1) -> None:
    admin = await database.connect()
    for name, count, days in (("old", old, 61), ("new", new, 59)):
        await admin.execute(
            "insert into scheduler.inbox select 'c', $1 || n, now() - make_interval(days => $3) from generate_series(1, $2) n",
            name,
            count,
            days,
        )
    await admin.close()


async def left(store: Database) -> list[str]:
    async with store.transaction() as connection:
        return [row["message_id"] for row in await connection.fetch("select message_id from scheduler.inbox order by 1")]


async def test_what_is_old_goes_in_batches_and_nothing_else(store: Database, database: PostgresDatabase) -> None:
    await fill(database, old=25, new=3)
    pruning = Pruning(store, "scheduler", [RULE], batch=10)
    assert await pruning.once() == {"scheduler.inbox": 25}
    assert await left(store) == ["new1", "new2", "new3"]
    assert await pruning.once() == {"scheduler.inbox": 0}


async def test_replicas_share_the_work_and_each_row_goes_once(store: Database, database: PostgresDatabase) -> None:
    await fill(database, old=60)
    replicas = [Pruning(store, "scheduler", [RULE], batch=5) for _ in range(4)]
    counts = await asyncio.gather(*(replica.once() for replica in replicas))
    done = sum(count["scheduler.inbox"] for count in counts)
    done += (await replicas[0].once())["scheduler.inbox"]
    assert done == 60
    assert await left(store) == ["new1"]


async def test_while_another_replica_prunes_there_is_nothing_to_do(store: Database, database: PostgresDatabase) -> None:
    await fill(database, old=5)
    other = Pruning(store, "scheduler", [RULE])
    async with store.transaction() as connection:
        await connection.execute("select pg_advisory_xact_lock($1::int, $2::int)", *other.lock)
        assert await other.once() == {"scheduler.inbox": 0}
    assert await other.once() == {"scheduler.inbox": 5}


async def test_it_goes_on_after_an_outage(store: Database, database: PostgresDatabase, postgres: PostgresServer) -> None:
    await fill(database, old=5)
    pruning = Pruning(store, "scheduler", [RULE])
    postgres.kill()
    with pytest.raises(StoreUnavailable):
        await pruning.once()
    postgres.start()
    assert await pruning.once() == {"scheduler.inbox": 5}


async def test_a_row_that_changed_meanwhile_stays(store: Database, database: PostgresDatabase) -> None:
    """The age is asked again when a row's lock is there: what was touched in between is not old any more."""
    admin, other = await database.connect(), await database.connect()
    await admin.execute("create table scheduler.touched (at timestamptz not null); grant select, delete on scheduler.touched to public")
    await admin.execute("insert into scheduler.touched values (now() - interval '2 days')")
    pruning = Pruning(store, "scheduler", [Rule(table="scheduler.touched", since=("at",), kept=timedelta(days=1))])
    change = other.transaction()
    await change.start()
    await other.execute("update scheduler.touched set at = now()")
    once = asyncio.create_task(pruning.once())
    while not await admin.fetchval(_WAITING):  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0)
    await change.commit()
    assert await once == {"scheduler.touched": 0}
    await admin.close()
    await other.close()
