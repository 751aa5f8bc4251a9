"""Publishing by hand on a real database: reopened once whoever hears it, never against its rule, whoever else is at it."""

import asyncio

import asyncpg
import pytest

from services.scheduler import repository
from services.scheduler.task import Former, Task
from shared.events import commands
from shared.events.envelope import AnyEnvelope
from shared.events.failures import failure
from shared.events.values import TaskState
from tests.integration.services.scheduler.replicas import World, all_goes_well, ended, world
from tests.servers.postgres import PostgresDatabase
from tests.unit.services.scheduler.messages import TREE, Script


def the_agent_fails(script: Script, command: AnyEnvelope) -> list[AnyEnvelope]:
    if isinstance(command.data, commands.RunnerStart):
        return [script.started(command.id, 1), script.run_failed(command.id, 1, made=True)]
    if isinstance(command.data, commands.GitPublish) and not command.data.approved:
        return [script.change_prepared(command.id), script.held(command.id)]
    return all_goes_well(script, command)


async def failed(here: World, *scripts: Script) -> None:
    here.answers = the_agent_fails
    here.say(*(script.submit() for script in scripts))
    await here.until_ended(len(scripts))


async def test_publishes_at_the_same_time_reopen_once_and_push_once(database: PostgresDatabase) -> None:
    async with world(database, replicas=2) as here:
        script = Script.fresh()
        await failed(here, script)
        publish = script.publish()
        await asyncio.gather(*(replica.hear(said) for replica in here.replicas * 2 for said in (publish, script.publish())))
        await here.until(lambda _: "task.awaiting_approval.v1" in here.told(script))
        await asyncio.gather(*(replica.hear(script.approve()) for replica in here.replicas))
        await here.until_ended(2)
        # The other publishes may have come when the task was open: then they are nothing. Once pushed they are nothing too.
        assert here.told(script)[5:] == [
            "task.failed.v1",
            "task.publishing.v1",
            "git.publish.v1",
            "task.awaiting_approval.v1",
            "task.publishing.v1",
            "git.publish.v1",
            "task.succeeded.v1",
        ]
        assert len(here.fates) == 1


async def test_of_a_publish_and_a_discard_at_the_same_time_one_counts(database: PostgresDatabase) -> None:
    async with world(database, replicas=2) as here:
        scripts = [Script.fresh() for _ in range(20)]
        await failed(here, *scripts)
        pairs = [(here.replicas[0].hear(script.publish()), here.replicas[1].hear(script.discard())) for script in scripts]
        await asyncio.gather(*(hear for pair in pairs for hear in pair))
        one = {"task.awaiting_approval.v1", "work.discarded.v1"}
        await here.until(lambda _: all(one & set(here.told(script)) for script in scripts))
        await asyncio.gather(*(here.replicas[0].hear(script.publish()) for script in scripts))
        assert all(len(one & set(here.told(script))) == 1 for script in scripts)
        assert all(here.told(script).count("git.publish.v1") == ("work.discarded.v1" not in here.told(script)) for script in scripts)


async def test_by_hand_it_waits_for_no_slot(database: PostgresDatabase) -> None:
    async with world(database) as here:
        script = Script.fresh()
        await failed(here, script)
        here.answers = lambda other, command: the_agent_fails(other, command) if other.task == script.task else []
        here.say(*(Script.fresh(script.owner).submit() for _ in range(6)), script.publish())
        await here.until(lambda _: "task.awaiting_approval.v1" in here.told(script))
        here.say(script.approve())
        await here.until_ended(2)
        assert [message.task for message in ended(here.published)] == [script.task, script.task]


async def stored(here: World, script: Script) -> Task:
    async with here.replicas[0].database.transaction() as connection:
        task = await repository.lock(connection, script.task)
    assert task is not None
    return task


async def test_the_database_itself_lets_nothing_else_leave_an_end(database: PostgresDatabase) -> None:
    async with world(database) as here:
        script = Script.fresh()
        await failed(here, script)
        task = await stored(here, script)
        former = Former(state=TaskState.FAILED, failure=failure("agent_exit"))
        refused = (
            {"state": TaskState.QUEUED},
            {"state": TaskState.SUCCEEDED},
            {"failure": failure("internal")},
            {"state": TaskState.PUBLISHING},  # it would take a slot
            {"state": TaskState.PUBLISHING, "former": Former(state=TaskState.CANCELLED)},
            {"state": TaskState.PUBLISHING, "former": former, "run_result": None},
        )
        for changes in refused:
            with pytest.raises(asyncpg.IntegrityConstraintViolationError):
                async with here.replicas[0].database.transaction() as connection:
                    await repository.save(connection, task.model_copy(update=changes))
        assert await stored(here, script) == task
        here.say(script.change_prepared(None), script.publish(TREE))
        await here.until_ended(2)
        assert (await stored(here, script)).state is TaskState.SUCCEEDED
