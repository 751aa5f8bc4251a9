"""Scheduler processes on real NATS and Postgres: killed wherever it hurts, each task ends once and each command is one command."""

import asyncio
import json
import urllib.request
import zlib

import asyncpg
import httpx

from shared.bus.connection import Bus
from shared.bus.errors import Terminal
from shared.bus.lease import Fates
from shared.events import commands
from shared.events.envelope import AnyEnvelope
from shared.events.ids import fresh
from shared.events.values import ENDED, Fate
from tests.integration.services.scheduler.processes import Outside, Schedulers
from tests.servers.nats import NatsServer, free_port
from tests.servers.postgres import PostgresDatabase
from tests.unit.services.scheduler.messages import Script

STATES = ["task.queued.v1", "task.preparing.v1", "task.running.v1", "task.publishing.v1", "task.succeeded.v1"]
COMMANDS = ["git.prepare.v1", "runner.start.v1", "git.publish.v1"]
ENDINGS = {f"task.{state}.v1" for state in ENDED}


def ended(here: Outside) -> list[str]:
    return [fact.task for fact in here.facts if fact.type in ENDINGS]


async def all_ended_once(here: Outside, scripts: list[Script]) -> None:
    await here.until(lambda: len(set(ended(here))) == len(scripts), seconds=200)
    assert len(ended(here)) == len(scripts)
    assert all(here.told(script) == STATES for script in scripts)
    assert all(here.command_types[script.task] == COMMANDS for script in scripts)


async def test_a_task_lives_its_life_and_the_run_hears_its_fate(here: Outside, schedulers: Schedulers, nats_server: NatsServer) -> None:
    port = free_port()
    process = await schedulers.start(HEALTH_PORT=str(port))
    script = Script.fresh()
    await here.submit(script)
    await all_ended_once(here, [script])
    runner = await Bus.connect(nats_server.settings("runner"))
    assert await Fates(runner).get(script.run) is Fate.FINISHED
    await runner.stop()
    ready = json.loads(await asyncio.to_thread(lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz").read()))
    assert ready == {"ready": True, "checks": {"bus": "ok", "database": "ok", "outbox": "ok"}}
    assert await process.stop() == 0


async def test_a_message_that_can_never_be_published_makes_it_not_ready(
    here: Outside, schedulers: Schedulers, database: PostgresDatabase
) -> None:
    """The bus denies the scheduler what only the runner may say."""
    port = free_port()
    schedulers.settings = {"SCHEDULER_OUTBOX_SECONDS": "0.1", "HEALTH_PORT": str(port)}
    await schedulers.start()
    admin = await database.connect()
    await admin.execute(
        "insert into scheduler.outbox (stream, subject, message_id, payload) values ('EVT', 'evt.run.finished.-.-', 'x', '')"
    )
    await admin.close()
    async with asyncio.timeout(30), httpx.AsyncClient(trust_env=False) as client:
        while (answer := await client.get(f"http://127.0.0.1:{port}/readyz")).status_code != 503:
            pass
    assert answer.json()["checks"].pop("outbox").startswith("OutboxStands: the first message has waited")
    assert not here.facts


async def test_two_replicas_share_the_work(here: Outside, schedulers: Schedulers) -> None:
    await asyncio.gather(schedulers.start(), schedulers.start())
    owners = [fresh(), fresh()]
    scripts = [Script.fresh(owners[number % 2]) for number in range(40)]
    await here.submit(*scripts)
    await all_ended_once(here, scripts)


async def test_a_kill_between_commit_and_relay_loses_nothing(here: Outside, schedulers: Schedulers, database: PostgresDatabase) -> None:
    relay_lock = await database.connect()
    await relay_lock.execute("select pg_advisory_lock($1, $2)", 0x6F757462, zlib.crc32(b"scheduler") & 0x7FFFFFFF)
    first = await schedulers.start()
    script = Script.fresh()
    await here.submit(script)
    await rows(database, "select count(*) from scheduler.outbox", 3)
    await first.kill()
    assert here.told(script) == []
    await relay_lock.close()
    await schedulers.start()
    await all_ended_once(here, [script])


async def test_a_kill_between_commit_and_ack_repeats_nothing(here: Outside, schedulers: Schedulers, database: PostgresDatabase) -> None:
    first = await schedulers.start()
    script = Script.fresh()
    slots_of_owner = await database.connect()
    await slots_of_owner.execute("select pg_advisory_lock($1, hashtext($2))", 0x736C6F74, str(script.owner))
    await here.submit(script)
    # The submit is committed, its handler waits for the owner's slots, and so its message is not acked yet.
    await rows(database, "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and wait_event = 'advisory'", 1)
    assert await one(database, "select count(*) from scheduler.tasks where state = 'queued'") == 1
    await first.kill()
    await slots_of_owner.close()
    second = await schedulers.start()
    await second.says("message_heard_before")
    await all_ended_once(here, [script])
    assert await one(database, "select count(*) from scheduler.inbox") == len(["submit", *COMMANDS, "run.started", "change.prepared"])


async def test_kills_at_any_moment_lose_and_double_nothing(here: Outside, schedulers: Schedulers) -> None:
    replicas = list(await asyncio.gather(schedulers.start(), schedulers.start()))
    scripts = [Script.fresh() for _ in range(60)]
    for number in range(4):
        batch = scripts[number * 15 : number * 15 + 15]
        submitting = asyncio.create_task(here.submit(*batch))
        enough = len(here.facts) + 10 + 7 * number
        await here.until(lambda enough=enough: len(here.facts) >= enough)
        await replicas[number % 2].kill()
        await submitting
        replicas[number % 2] = await schedulers.start()
    await all_ended_once(here, scripts)


class InvalidAddress(Terminal):
    """Nothing can help."""


def nobody_prepares(_script: Script, _command: AnyEnvelope) -> list[AnyEnvelope]:
    return []


async def test_a_deadline_fires_although_the_process_that_set_it_is_gone(here: Outside, schedulers: Schedulers) -> None:
    schedulers.settings = {"SCHEDULER_PREPARE_SECONDS": "1", "SCHEDULER_PREPARE_SENDS": "2"}
    here.answers = nobody_prepares
    first = await schedulers.start()
    script = Script.fresh()
    await here.submit(script)
    await here.until(lambda: here.command_types.get(script.task) == ["git.prepare.v1"])
    await first.kill()
    await schedulers.start()
    await here.until(lambda: ended(here) == [script.task])
    assert here.command_types[script.task] == ["git.prepare.v1", "git.prepare.v1"]
    assert here.told(script) == ["task.queued.v1", "task.preparing.v1", "task.failed.v1"]


async def test_a_command_that_git_refuses_becomes_a_dead_letter_and_fails_its_task(here: Outside, schedulers: Schedulers) -> None:
    def refuse(_script: Script, command: AnyEnvelope) -> list[AnyEnvelope]:
        if isinstance(command.data, commands.GitPrepare):
            raise InvalidAddress
        return []

    here.answers = refuse
    await schedulers.start()
    script = Script.fresh()
    await here.submit(script)
    await here.until(lambda: ended(here) == [script.task])
    assert here.told(script)[-1] == "task.failed.v1"


async def test_the_scheduler_goes_on_when_nats_and_postgres_come_back(
    here: Outside, schedulers: Schedulers, database: PostgresDatabase, nats_server: NatsServer
) -> None:
    await schedulers.start()
    before, after = Script.fresh(), Script.fresh()
    await here.submit(before)
    await all_ended_once(here, [before])
    await nats_server.kill()
    await asyncio.to_thread(database.server.kill)
    await asyncio.to_thread(database.server.start)
    await nats_server.restart()
    await here.submit(after)
    await all_ended_once(here, [before, after])


async def one(database: PostgresDatabase, question: str) -> int:
    connection = await database.connect()
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


async def rows(database: PostgresDatabase, question: str, wanted: int) -> None:
    """Wait until a count in the database is reached; Postgres has no event for it."""
    async with asyncio.timeout(30):
        connection: asyncpg.Connection[asyncpg.Record] = await database.connect()
        try:
            while await connection.fetchval(question) < wanted:  # noqa: ASYNC110 - it has none
                await asyncio.sleep(0.02)
        finally:
            await connection.close()
