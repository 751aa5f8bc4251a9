"""The adapter on a real database: each effect once, slots never exceeded, deadlines by the clock, whoever dies in between."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from services.scheduler import repository
from services.scheduler.deadlines import Rules
from services.scheduler.housekeeping import rules
from services.scheduler.settings import SchedulerSettings
from services.scheduler.slots import Slots
from shared.events import commands, facts
from shared.events.envelope import AnyEnvelope
from shared.events.ids import fresh
from shared.events.values import TaskState
from shared.store.pruning import Pruning
from tests.integration.services.scheduler.replicas import World, all_goes_well, ended, outcomes, world
from tests.servers.postgres import PostgresDatabase, PostgresServer
from tests.unit.services.scheduler.messages import Script

WHOLE_LIFE = [
    "task.queued.v1",
    "task.preparing.v1",
    "git.prepare.v1",
    "task.running.v1",
    "runner.start.v1",
    "task.publishing.v1",
    "git.publish.v1",
    "task.succeeded.v1",
]

WATCH_SLOTS = """
create table public.slots_seen (holding bigint);
create function public.see_slots() returns trigger language plpgsql security definer as $$
begin
    insert into public.slots_seen select count(*) from scheduler.tasks where owner = new.owner and holds_slot;
    return null;
end $$;
create trigger see_slots after insert or update on scheduler.tasks for each row when (new.holds_slot) execute function public.see_slots();
"""
"""Counts the owner's slots in the transaction that takes one: with the owner's lock held, nobody else can have taken another since."""


@asynccontextmanager
async def looking_into(database: PostgresDatabase) -> "AsyncGenerator[asyncpg.Connection[asyncpg.Record]]":
    connection = await database.connect()
    try:
        yield connection
    finally:
        await connection.close()


def silence(_script: Script, _command: AnyEnvelope) -> list[AnyEnvelope]:
    return []


async def test_a_whole_life_leaves_in_order_and_each_message_once(database: PostgresDatabase) -> None:
    async with world(database) as here:
        script = Script.fresh()
        here.say(script.submit())
        await here.until_ended(1)
        assert here.told(script) == WHOLE_LIFE
        assert [row.payload for row in here.fates] == [b'{"fate": "finished"}']
        assert here.fates[0].subject == f"$KV.fate.{script.run}"


async def test_two_replicas_never_give_an_owner_more_slots_and_lose_no_task(database: PostgresDatabase) -> None:
    async with looking_into(database) as admin, world(database, replicas=2, hands=16) as here:
        await admin.execute(WATCH_SLOTS)
        here.copies = 2
        owners = [fresh() for _ in range(3)]
        scripts = [Script.fresh(owners[number % 3]) for number in range(200)]
        here.say(*(script.submit() for script in scripts))
        await here.until_ended(200)
        assert outcomes(here.published) == {TaskState.SUCCEEDED: 200}
        assert all(here.told(script) == WHOLE_LIFE for script in scripts)
        assert len(here.fates) == 200
        assert await admin.fetchval("select max(holding) from public.slots_seen") == 5


async def test_a_message_that_comes_twice_at_the_same_time_counts_once(database: PostgresDatabase) -> None:
    async with world(database, replicas=2) as here:
        here.answers = silence
        script = Script.fresh()
        submit = script.submit()
        await asyncio.gather(*(replica.hear(submit) for replica in here.replicas * 3))
        await here.until(lambda published: len(published) == 3)
        assert here.told(script) == WHOLE_LIFE[:3]


async def test_a_cancel_and_its_submit_at_the_same_time_end_the_task_once(database: PostgresDatabase) -> None:
    async with world(database, replicas=2) as here:
        here.answers = silence
        scripts = [Script.fresh() for _ in range(20)]
        pairs = [(here.replicas[0].hear(script.submit()), here.replicas[1].hear(script.cancel())) for script in scripts]
        await asyncio.gather(*(hear for pair in pairs for hear in pair))
        await here.until_ended(20)
        assert outcomes(here.published) == {TaskState.CANCELLED: 20}


class _Dies(Slots):
    """The process ends after the commit and before the slots are filled."""

    async def fill(self, owner: object) -> None:
        raise ConnectionResetError(owner)


async def test_a_crash_between_commit_and_slots_is_made_good_by_the_redelivery(database: PostgresDatabase) -> None:
    async with world(database) as here:
        replica = here.replicas[0]
        script = Script.fresh()
        submit = script.submit()
        dying = _Dies(replica.database, replica.ledger, here.clock, 5)
        replica.handlers.__init__(replica.database, replica.ledger, dying, here.clock)
        with pytest.raises(ConnectionResetError):
            await replica.handlers.handle(submit, None)
        replica.handlers.__init__(replica.database, replica.ledger, replica.slots, here.clock)
        here.say(submit)
        await here.until_ended(1)
        assert here.told(script) == WHOLE_LIFE


async def test_a_free_slot_that_nobody_took_is_found_by_the_sweep(database: PostgresDatabase) -> None:
    async with world(database) as here:
        replica = here.replicas[0]
        async with replica.database.transaction() as connection:
            await replica.ledger.act(connection, None, Script.fresh().submit(), here.clock.now())
        await replica.slots.sweep()
        await here.until_ended(1)


async def test_a_deadline_fires_once_whoever_looks(database: PostgresDatabase) -> None:
    async with world(database, replicas=2, rules=Rules(prepare_sends=2)) as here:
        here.answers = silence
        scripts = [Script.fresh() for _ in range(10)]
        here.say(*(script.submit() for script in scripts))
        await here.until(lambda published: len(published) == 30)
        for _ in range(2):
            here.clock.pass_seconds(600)
            await asyncio.gather(*(replica.overdue.pass_deadlines() for replica in here.replicas * 2))
        await here.until_ended(10)
        assert outcomes(here.published) == {TaskState.FAILED: 10}
        assert all(here.told(script).count("git.prepare.v1") == 2 for script in scripts)


async def test_a_slot_freed_by_a_deadline_is_taken(database: PostgresDatabase) -> None:
    async with world(database, rules=Rules(prepare_sends=1)) as here:
        here.answers = silence
        owner = fresh()
        first = [Script.fresh(owner) for _ in range(5)]
        last = Script.fresh(owner)
        here.say(*(script.submit() for script in first))
        await here.until(lambda published: len(published) == 15)
        here.say(last.submit())
        await here.until(lambda published: len(published) == 16)
        here.clock.pass_seconds(600)
        await here.replicas[0].overdue.pass_deadlines()
        await here.until(lambda _: here.told(last) == WHOLE_LIFE[:3])
        assert here.told(last) == WHOLE_LIFE[:3]


async def test_the_oldest_of_an_owner_goes_first(database: PostgresDatabase) -> None:
    async with world(database, hands=1) as here:
        owner = fresh()
        scripts = [Script.fresh(owner) for _ in range(20)]
        here.say(*(script.submit() for script in scripts))
        await here.until_ended(20)
        order = [message.task for message in here.published if message.type == "task.preparing.v1"]
        assert order == [script.task for script in scripts]


def held_until_approved(script: Script, command: AnyEnvelope) -> list[AnyEnvelope]:
    if isinstance(command.data, commands.GitPublish) and not command.data.approved:
        return [script.change_prepared(command.id), script.held(command.id)]
    return all_goes_well(script, command)


async def test_an_approved_change_is_pushed_although_the_owner_has_no_slot(database: PostgresDatabase) -> None:
    async with world(database) as here:
        here.answers = held_until_approved
        script = Script.fresh()
        here.say(script.submit())
        await here.until(lambda _: "task.awaiting_approval.v1" in here.told(script))
        here.answers = lambda other, command: held_until_approved(other, command) if other.task == script.task else []
        others = [Script.fresh(script.owner) for _ in range(6)]
        here.say(*(other.submit() for other in others), script.approve())
        await here.until_ended(1)
        assert ended(here.published)[0].task == script.task
        assert outcomes(here.published) == {TaskState.SUCCEEDED: 1}


async def reach(here: World, script: Script, state: TaskState) -> None:
    """Bring a task into a state by letting the world fall silent there."""
    silent = {
        TaskState.PREPARING: commands.GitPrepare,
        TaskState.RUNNING: commands.RunnerStart,
        TaskState.PUBLISHING: commands.GitPublish,
    }.get(state)
    others = [Script.fresh(script.owner) for _ in range(5)] if state is TaskState.QUEUED else []

    def answers(other: Script, command: AnyEnvelope) -> list[AnyEnvelope]:
        if other in others or (silent is not None and isinstance(command.data, silent)):
            return [other.started(command.id)] if isinstance(command.data, commands.RunnerStart) else []
        return held_until_approved(other, command)

    here.answers = answers
    for other in others:
        await here.replicas[0].hear(other.submit())
    here.say(script.submit())
    await here.until(lambda _: f"task.{state}.v1" in here.told(script))


@pytest.mark.parametrize(
    "state", [TaskState.QUEUED, TaskState.PREPARING, TaskState.RUNNING, TaskState.PUBLISHING, TaskState.AWAITING_APPROVAL]
)
async def test_a_cancel_ends_a_task_in_every_state(database: PostgresDatabase, state: TaskState) -> None:
    async with world(database) as here:
        script = Script.fresh()
        await reach(here, script, state)
        await here.replicas[0].hear(script.cancel())
        here.clock.pass_seconds(600)  # a run and a push have their time to answer
        await here.replicas[0].overdue.pass_deadlines()
        await here.until(lambda _: "task.cancelled.v1" in here.told(script))
        await here.replicas[0].hear(script.published(None))
        assert sum(message.task == script.task for message in ended(here.published)) == 1


async def test_the_database_itself_keeps_what_has_ended(database: PostgresDatabase) -> None:
    async with world(database) as here:
        script = Script.fresh()
        here.say(script.submit())
        await here.until_ended(1)
        async with here.replicas[0].database.transaction() as connection:
            task = await repository.lock(connection, script.task)
        assert task is not None
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            async with here.replicas[0].database.transaction() as connection:
                await repository.save(connection, task.model_copy(update={"state": TaskState.QUEUED}))


async def test_a_task_that_cannot_be_read_holds_up_no_other(database: PostgresDatabase) -> None:
    async with looking_into(database) as admin, world(database, rules=Rules(prepare_sends=1)) as here:
        here.answers = silence
        broken, whole = Script.fresh(), Script.fresh()
        here.say(broken.submit(), whole.submit())
        await here.until(lambda published: len(published) == 6)
        await admin.execute("update scheduler.tasks set data = '{}' where task_id = $1", str(broken.task))
        here.clock.pass_seconds(600)
        await here.replicas[0].overdue.pass_deadlines()
        await here.until_ended(1)
        assert [message.task for message in ended(here.published)] == [whole.task]


async def test_what_no_replay_can_bring_back_is_forgotten_also_after_the_database_was_away(
    postgres: PostgresServer, database: PostgresDatabase
) -> None:
    async with looking_into(database) as admin:
        await admin.execute(
            "insert into scheduler.inbox values ('scheduler', 'old', now() - interval '61 days'), ('scheduler', 'new', now())"
        )
    async with world(database) as here:
        postgres.kill()
        replica = here.replicas[0]
        forgetting = Pruning(replica.database, "scheduler", rules(SchedulerSettings(), replica.ledger.inbox))
        pruning = asyncio.create_task(forgetting.run())
        await asyncio.to_thread(postgres.restart)  # the loop meets a database that is not there
        async with asyncio.timeout(60), looking_into(database) as admin:
            while (kept := await admin.fetch("select message_id from scheduler.inbox")) != [("new",)]:
                assert not pruning.done()
                assert len(kept) <= 2
        pruning.cancel()


async def test_a_fact_for_nobody_and_an_answer_to_nothing_change_nothing(database: PostgresDatabase) -> None:
    async with world(database) as here:
        script = Script.fresh()
        await here.replicas[0].hear(script.prepared(fresh()))
        stray = script.lost(None, "git.prepare.v1").model_copy(update={"task": "-"})
        assert isinstance(stray.data, facts.CommandDeadLettered)
        await here.replicas[0].hear(stray)
        async with here.replicas[0].database.transaction() as connection:
            assert await repository.lock(connection, script.task) is None
