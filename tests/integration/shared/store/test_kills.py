"""`kill -9` of a relay, of Postgres, of NATS: nothing is lost, nothing that was rolled back is said, and the order holds."""

import asyncio
import contextlib
import itertools
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.bus.connection import Bus
from shared.events import envelope, facts, ids
from shared.store import Database, Inbox, Outbox, Relay, StoreUnavailable
from tests.integration.shared.store.conftest import Recorder
from tests.servers.nats import NatsServer
from tests.servers.postgres import PostgresDatabase

ROOT = Path(__file__).parents[4]
MODULE = "tests.integration.shared.store.relay_process"


class RelayProcess:
    """A relay in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @property
    def pid(self) -> int:
        return self.process.pid

    async def until(self, message_id: str) -> None:
        """Returns once it has published that message."""
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            while line := await self.process.stdout.readline():
                if line.decode().strip() == message_id:
                    return
        raise AssertionError(f"the relay ended before it published {message_id}")

    async def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        await self.process.communicate()


class Relays:
    """Starts relays, and ends what a test has left running."""

    def __init__(self, database: PostgresDatabase, record: Path) -> None:
        self._environment = {**os.environ, **database.environment("scheduler"), "RECORD": str(record)}
        self._record = record
        self._started: list[RelayProcess] = []

    async def start(self, **environment: str) -> RelayProcess:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", MODULE, cwd=ROOT, env={**self._environment, **environment}, stdout=asyncio.subprocess.PIPE
        )
        self._started.append(RelayProcess(process))
        return self._started[-1]

    async def end(self) -> None:
        for one in self._started:
            await one.kill()

    @property
    def published(self) -> list[tuple[int, str]]:
        """(which process, which message), in order."""
        lines = [line.split(" ", 1) for line in self._record.read_text().splitlines()]
        return [(int(pid), message_id) for pid, message_id in lines]


@pytest.fixture
async def relays(database: PostgresDatabase, tmp_path: Path) -> AsyncIterator[Relays]:
    made = Relays(database, tmp_path / "record")
    yield made
    await made.end()


async def send(store: Database, outbox: Outbox, *message_ids: str) -> None:
    async with store.transaction() as connection:
        for message_id in message_ids:
            await outbox.enqueue_raw(connection, "EVT", f"evt.test.{message_id}", b"{}", message_id)


async def waiting(store: Database) -> list[str]:
    async with store.transaction() as connection:
        return [row["message_id"] for row in await connection.fetch("select message_id from scheduler.outbox order by id")]


async def test_a_relay_killed_between_publishing_and_deleting_publishes_again_under_the_same_id(
    store: Database, outbox: Outbox, relays: Relays
) -> None:
    await send(store, outbox, "one", "two", "three")
    first = await relays.start(HOLD_AT="two")
    await first.until("two")
    await first.kill()
    assert await waiting(store) == ["one", "two", "three"]

    second = await relays.start()
    await second.until("three")
    await second.kill(signal.SIGTERM)
    assert relays.published == [(first.pid, "one"), (first.pid, "two"), (second.pid, "one"), (second.pid, "two"), (second.pid, "three")]
    assert await waiting(store) == []


async def test_of_two_processes_one_publishes_and_the_other_goes_on_where_it_was_killed(
    store: Database, outbox: Outbox, relays: Relays
) -> None:
    processes = [await relays.start(), await relays.start()]
    rounds = [[f"{number}-{index}" for index in range(20)] for number in range(4)]
    reached = {one.pid: asyncio.create_task(one.until(rounds[1][-1])) for one in processes}
    for messages in rounds[:2]:
        await send(store, outbox, *messages)
    await asyncio.wait(reached.values(), return_when=asyncio.FIRST_COMPLETED)
    [leader] = {pid for pid, _ in relays.published}
    [successor] = [one for one in processes if one.pid != leader]
    reached[successor.pid].cancel()

    await send(store, outbox, *rounds[2])
    await next(one for one in processes if one.pid == leader).kill()
    await send(store, outbox, *rounds[3])
    await successor.until(rounds[3][-1])
    await successor.kill(signal.SIGTERM)

    pids = [pid for pid, _ in relays.published]
    assert pids == sorted(pids, key=lambda pid: pid != leader), "the killed one published after its successor had begun"
    assert set(pids) == {leader, successor.pid}
    assert list(dict.fromkeys(message for _, message in relays.published)) == [message for messages in rounds for message in messages]
    assert await waiting(store) == []


async def test_postgres_killed_in_a_transaction_keeps_neither_the_change_nor_the_message(
    database: PostgresDatabase, store: Database, outbox: Outbox, recorder: Recorder
) -> None:
    inbox = Inbox("scheduler")
    with pytest.raises(StoreUnavailable):  # noqa: PT012 - the whole transaction
        async with store.transaction() as connection:
            await inbox.first_time(connection, "test", "never")
            await outbox.enqueue_raw(connection, "EVT", "evt.test", b"{}", "never")
            database.server.kill()
    database.server.start()
    relay = asyncio.create_task(Relay(store, outbox, recorder).run())
    await send(store, outbox, "afterwards")
    assert await recorder.until(1) == ["afterwards"]
    async with store.transaction() as connection:
        assert await inbox.first_time(connection, "test", "never")
    await _cancelled(relay)


class Writers:
    """Each changes a state and tells of it, until they are stopped; `committed` is what they know to be so."""

    def __init__(self, store: Database, outbox: Outbox) -> None:
        self._store = store
        self._outbox = outbox
        self._inbox = Inbox("scheduler")
        self._moved = asyncio.Condition()
        self._stopping = asyncio.Event()
        self.committed: list[str] = []

    async def write(self, writer: int) -> None:
        """As one of them."""
        for number in itertools.count():
            if self._stopping.is_set():
                return
            message_id = f"{writer}-{number:06}"
            try:
                async with self._store.transaction() as connection:
                    await self._inbox.first_time(connection, "state", message_id)
                    await self._outbox.enqueue_raw(connection, "EVT", "evt.test", b"{}", message_id)
            except StoreUnavailable:
                continue  # whether it was committed is not known: the database knows
            async with self._moved:
                self.committed.append(message_id)
                self._moved.notify_all()

    async def until_more(self, count: int) -> None:
        """Returns once so many more are committed."""
        goal = len(self.committed) + count
        async with asyncio.timeout(60), self._moved:
            await self._moved.wait_for(lambda: len(self.committed) >= goal)

    def stop(self) -> None:
        """Nothing new is begun."""
        self._stopping.set()


async def test_postgres_killed_again_and_again_under_load_loses_nothing_and_invents_nothing(
    database: PostgresDatabase, store: Database, outbox: Outbox, recorder: Recorder
) -> None:
    """Four writers. Whatever happened to a commit, change and message share its fate."""
    relay = asyncio.create_task(Relay(store, outbox, recorder).run())
    writers = Writers(store, outbox)
    writing = [asyncio.create_task(writers.write(number)) for number in range(4)]
    for _ in range(3):
        await writers.until_more(100)
        await asyncio.to_thread(database.server.kill)
        await asyncio.to_thread(database.server.start)
    writers.stop()
    await asyncio.gather(*writing)
    await send(store, outbox, "the last")
    await asyncio.wait_for(recorder.until_published("the last"), 60)
    await _cancelled(relay)

    connection = await database.connect()
    states = {row["message_id"] for row in await connection.fetch("select message_id from scheduler.inbox")}
    await connection.close()
    published = list(dict.fromkeys(recorder.ids))
    assert set(writers.committed) <= states
    assert set(published) - {"the last"} == states
    for writer in range(4):
        of_one = [message for message in published if message.startswith(f"{writer}-")]
        assert of_one == sorted(of_one)
    assert await waiting(store) == []


async def test_with_real_nats_every_message_is_stored_once_whoever_is_killed(
    store: Database, outbox: Outbox, relays: Relays, nats_server: NatsServer
) -> None:
    """Killed: the relay between publishing and deleting, then NATS under the relay, then the relay again."""
    owner, task = ids.fresh(), ids.fresh()
    messages = [envelope.new(facts.TaskQueued(), source="scheduler", owner=owner, task=task) for _ in range(40)]
    bus = await Bus.connect(nats_server.settings("scheduler"))
    settings = nats_server.settings("scheduler")
    nats = {"NATS_URL": settings.url, "NATS_USER": "scheduler", "NATS_NKEY_FILE": str(settings.nkey_file)}

    async def tell(part: list[envelope.AnyEnvelope]) -> None:
        for message in part:
            async with store.transaction() as connection:
                await outbox.enqueue(connection, message)

    await tell(messages[:20])
    first = await relays.start(**nats, HOLD_AT=messages[9].id)
    await first.until(messages[9].id)
    await first.kill()
    second = await relays.start(**nats)
    await second.until(messages[19].id)
    await nats_server.kill()
    await tell(messages[20:])
    await nats_server.restart()
    await second.until(messages[25].id)
    await second.kill()
    third = await relays.start(**nats)
    await third.until(messages[39].id)
    await third.kill(signal.SIGTERM)

    stored = await bus.read("EVT", messages[0].nats_subject, 0)
    await bus.stop()
    assert [one.data for one in stored] == [message.encode() for message in messages]
    assert await waiting(store) == []


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
