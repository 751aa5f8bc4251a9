"""Outbox, relay and inbox in one process: order, once, all or nothing."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from shared.events import catalogue, envelope, facts
from shared.store import Database, Inbox, Outbox, Relay
from shared.store.errors import OutboxFull, OutboxStands
from tests.integration.shared.store.conftest import Recorder
from tests.servers.postgres import PostgresDatabase

CONSUMER = "scheduler"


@asynccontextmanager
async def running(*relays: Relay) -> AsyncGenerator[None]:
    tasks = [asyncio.create_task(relay.run()) for relay in relays]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                task.result()


async def send(store: Database, outbox: Outbox, *message_ids: str) -> None:
    async with store.transaction() as connection:
        for message_id in message_ids:
            await outbox.enqueue_raw(connection, "EVT", f"evt.test.{message_id}", b"{}", message_id)


async def waiting(store: Database) -> int:
    async with store.transaction() as connection:
        return await connection.fetchval("select count(*) from scheduler.outbox")


async def test_an_envelope_goes_out_as_its_exact_bytes(store: Database, outbox: Outbox, recorder: Recorder) -> None:
    message = envelope.new(facts.TaskQueued(), source="scheduler", owner=str(uuid.uuid4()), task=str(uuid.uuid4()))
    async with running(Relay(store, outbox, recorder)):
        async with store.transaction() as connection:
            await outbox.enqueue(connection, message)
        await recorder.until(1)
    [row] = recorder.rows
    assert (row.stream, row.subject, row.message_id, row.payload) == ("EVT", message.nats_subject, message.id, message.encode())
    assert catalogue.parse(row.payload) == message


async def test_what_was_rolled_back_is_never_published(store: Database, outbox: Outbox, recorder: Recorder) -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the whole transaction
        async with store.transaction() as connection:
            await outbox.enqueue_raw(connection, "EVT", "evt.test", b"{}", "never")
            raise ZeroDivisionError
    async with running(Relay(store, outbox, recorder)):
        await send(store, outbox, "sent")
        assert await recorder.until(1) == ["sent"]


async def test_outside_a_transaction_nothing_is_taken(store: Database, outbox: Outbox) -> None:
    async with store.pool.acquire() as connection:
        with pytest.raises(RuntimeError):
            await outbox.enqueue_raw(connection, "EVT", "evt.test", b"{}", "never")
        with pytest.raises(RuntimeError):
            await Inbox("scheduler").first_time(connection, CONSUMER, "never")


async def test_rows_go_out_in_order_and_are_gone(store: Database, outbox: Outbox, recorder: Recorder) -> None:
    expected = [f"message-{number}" for number in range(250)]
    await send(store, outbox, *expected)
    async with running(Relay(store, outbox, recorder)):
        assert await recorder.until(250) == expected
    assert await waiting(store) == 0


async def test_no_more_waits_than_may_and_a_refused_message_takes_its_transaction_along(store: Database, recorder: Recorder) -> None:
    outbox = Outbox("scheduler", max_rows=3)
    await send(store, outbox, "one", "two", "three")
    for refused in (("four",), ("four", "five")):
        with pytest.raises(OutboxFull, match="3 messages wait"):
            await send(store, outbox, *refused)
    async with running(Relay(store, outbox, recorder)):
        assert await recorder.until(3) == ["one", "two", "three"]
    await send(store, outbox, "six")
    assert await waiting(store) == 1


async def test_a_transaction_alone_cannot_pass_the_bound(store: Database, recorder: Recorder) -> None:
    outbox = Outbox("scheduler", max_rows=3)
    with pytest.raises(OutboxFull):
        await send(store, outbox, "one", "two", "three", "four")
    assert await waiting(store) == 0
    await send(store, outbox, "five")
    async with running(Relay(store, outbox, recorder)):
        assert await recorder.until(1) == ["five"]


async def test_a_row_that_cannot_go_out_stops_those_behind_it_until_it_can(store: Database, outbox: Outbox, recorder: Recorder) -> None:
    refusals = iter([ConnectionError("no server"), TimeoutError("no answer")])
    recorder.refuse = lambda row: next(refusals, None) if row.message_id == "second" else None
    await send(store, outbox, "first", "second", "third")
    async with running(Relay(store, outbox, recorder)):
        assert await recorder.until(3) == ["first", "second", "third"]
    assert next(refusals, None) is None


async def test_a_row_that_an_operator_takes_away_is_not_tried_any_more(
    store: Database, outbox: Outbox, recorder: Recorder, database: PostgresDatabase
) -> None:
    recorder.refuse = lambda row: ConnectionError() if row.message_id == "poisoned" else None
    await send(store, outbox, "poisoned", "behind it")
    async with running(Relay(store, outbox, recorder)):
        admin = await database.connect()
        await admin.execute("delete from scheduler.outbox where message_id = 'poisoned'")
        await admin.close()
        assert await recorder.until(1) == ["behind it"]
    assert await waiting(store) == 0


async def test_of_two_relays_one_works_and_the_other_takes_over(store: Database, outbox: Outbox, database: PostgresDatabase) -> None:
    recorders = [Recorder(), Recorder()]
    relays = [Relay(store, outbox, recorder) for recorder in recorders]
    tasks = [asyncio.create_task(relay.run()) for relay in relays]
    leads = [asyncio.create_task(relay.leading.wait()) for relay in relays]
    await asyncio.wait(leads, return_when=asyncio.FIRST_COMPLETED)
    leader = 0 if relays[0].leading.is_set() else 1
    await send(store, outbox, "one", "two")
    assert await recorders[leader].until(2) == ["one", "two"]
    assert not relays[1 - leader].leading.is_set()

    # The server ends the leader's session, as a failover or an operator does.
    admin = await database.connect()
    await admin.execute(
        "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted and pid <> pg_backend_pid()"
    )
    await admin.close()
    await send(store, outbox, "three", "four")
    arrived = [asyncio.create_task(recorder.until_published("four")) for recorder in recorders]
    await asyncio.wait(arrived, return_when=asyncio.FIRST_COMPLETED)
    # Rows that were out but not yet deleted go out again under their ids; NATS stores each id once.
    assert list(dict.fromkeys(recorders[leader].ids + recorders[1 - leader].ids)) == ["one", "two", "three", "four"]
    for task in [*tasks, *leads, *arrived]:
        task.cancel()
    await asyncio.gather(*tasks, *leads, *arrived, return_exceptions=True)


async def test_an_ordinary_stop_hands_over_at_once_and_deletes_what_was_published(
    store: Database, outbox: Outbox, recorder: Recorder
) -> None:
    await send(store, outbox, "first", "second")
    recorder.refuse = lambda row: ConnectionError() if row.message_id == "second" else None
    async with running(Relay(store, outbox, recorder)):
        await recorder.until(1)
    assert await waiting(store) == 1
    successor = Recorder()
    async with running(Relay(store, outbox, successor)):
        assert await successor.until(1) == ["second"]


async def test_a_message_counts_once_even_when_delivered_twice_at_the_same_time(store: Database) -> None:
    inbox = Inbox("scheduler")

    async def deliver() -> bool:
        async with store.transaction() as connection:
            return await inbox.first_time(connection, CONSUMER, "the message")

    assert sorted(await asyncio.gather(*(deliver() for _ in range(8)))) == [False] * 7 + [True]


async def test_a_delivery_whose_effect_failed_counts_again(store: Database) -> None:
    inbox = Inbox("scheduler")
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the whole transaction
        async with store.transaction() as connection:
            assert await inbox.first_time(connection, CONSUMER, "the message")
            raise ZeroDivisionError
    async with store.transaction() as connection:
        assert await inbox.first_time(connection, CONSUMER, "the message")
        assert await inbox.first_time(connection, "another consumer", "the message")


async def test_an_outbox_that_stands_is_not_ready(store: Database, outbox: Outbox, recorder: Recorder) -> None:
    await outbox.moving(store, within_seconds=60)
    await send(store, outbox, "one")
    await outbox.moving(store, within_seconds=60)
    with pytest.raises(OutboxStands, match="has waited 0 seconds"):
        await outbox.moving(store, within_seconds=0)
    async with running(Relay(store, outbox, recorder)):
        await recorder.until(1)
    await outbox.moving(store, within_seconds=0)


async def test_how_long_the_first_row_waits_is_known(store: Database, outbox: Outbox, database: PostgresDatabase) -> None:
    async with store.transaction() as connection:
        assert await outbox.oldest_seconds(connection) == 0
    await send(store, outbox, "one")
    admin = await database.connect()
    await admin.execute("update scheduler.outbox set created_at = now() - interval '5 minutes'")
    await admin.close()
    async with store.transaction() as connection:
        assert 299 < await outbox.oldest_seconds(connection) < 400
