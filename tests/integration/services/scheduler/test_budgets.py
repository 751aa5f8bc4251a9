"""Budgets on a real database: exact over replicas, and nothing that waits for one is lost."""

import asyncio
from decimal import Decimal

from shared.events import commands, facts
from shared.events.envelope import AnyEnvelope, new
from shared.events.ids import fresh
from shared.events.values import Budget, TaskState
from tests.integration.services.scheduler.replicas import Answers, World, all_goes_well, outcomes, world
from tests.servers.postgres import PostgresDatabase
from tests.unit.services.scheduler.messages import Script

RESPONSE_USD = 0.01
"""What the response costs at which a run's share ends."""


def costing(usd: float) -> Answers:
    """Every task costs `usd` in all its runs; a run whose share is less is stopped one response behind it."""
    spent: dict[str, float] = {}
    fences: dict[str, int] = {}

    def answers(script: Script, command: AnyEnvelope) -> list[AnyEnvelope]:
        if isinstance(command.data, commands.GitPublish):
            return [script.published(command.id, run=command.data.run_id)]
        if not isinstance(command.data, commands.RunnerStart):
            return all_goes_well(script, command)
        run, left = command.data.run_id, round(usd - spent.get(script.task, 0.0), 6)
        fence = fences.setdefault(run, len(fences) + 1)
        cost = min(left, round(command.data.limits.max_cost_usd + RESPONSE_USD, 6))
        spent[script.task] = round(spent.get(script.task, 0.0) + cost, 6)
        begun = script.started(command.id, fence, run)
        if cost < left:
            return [begun, script.run_failed(command.id, fence, "budget_exceeded", run, made=True, usd=cost)]
        return [begun, script.finished(command.id, fence, run=run, usd=cost)]

    return answers


def set_budget(script: Script, usd: float | None, version: int, project: str | None = None) -> AnyEnvelope:
    command = commands.SchedulerSetBudget.model_validate({"project_id": project, "monthly_usd": usd, "version": version})
    return new(command, source="gateway", owner=script.owner)


def asked(here: World) -> list[facts.TaskAwaitingBudget]:
    return [message.data for message in here.published if isinstance(message.data, facts.TaskAwaitingBudget)]


async def spent_usd(database: PostgresDatabase) -> float:
    connection = await database.connect()
    try:
        total: Decimal = await connection.fetchval("select sum(usd) from scheduler.spending")
    finally:
        await connection.close()
    return float(total)


async def test_a_project_s_month_is_overrun_by_one_response_of_each_run_at_most(database: PostgresDatabase) -> None:
    async with world(database, replicas=2, hands=8) as here:
        here.answers, here.copies, project = costing(4.0), 2, fresh()
        scripts = [Script.fresh(fresh())]
        scripts += [Script.fresh(scripts[0].owner) for _ in range(7)]
        await here.replicas[0].hear(set_budget(scripts[0], 20.0, 1, project))
        here.say(*(script.submit(project=project) for script in scripts))
        await here.until(lambda _: len({m.task for m in here.published if m.type in _OVER}) == len(scripts))
        assert {told.reached.budget for told in asked(here) if told.reached} == {Budget.PROJECT}
        assert 20.0 <= await spent_usd(database) <= 20.0 + 5 * RESPONSE_USD, "five run at a time"
        here.say(set_budget(scripts[0], 15.0, 1, project), set_budget(scripts[0], 40.0, 2, project))
        await here.until_ended(len(scripts))
        assert outcomes(here.published) == {TaskState.SUCCEEDED: len(scripts)}
        assert await spent_usd(database) == 4.0 * len(scripts), "each attempt counts once, whatever is delivered twice"


_OVER = {"task.succeeded.v1", "task.awaiting_budget.v1"}


async def test_an_owner_s_month_holds_over_all_projects_and_other_owners_go_on(database: PostgresDatabase) -> None:
    async with world(database) as here:
        here.answers = costing(4.0)
        mine = [Script.fresh(fresh())]
        mine += [Script.fresh(mine[0].owner) for _ in range(2)]
        await here.replicas[0].hear(set_budget(mine[0], 6.0, 1))
        here.say(*(script.submit() for script in mine), Script.fresh().submit())
        await here.until(lambda _: len({m.task for m in here.published if m.type in _OVER}) == 4)
        reached = [told.reached for told in asked(here) if told.reached is not None]
        assert {(each.budget, each.limit_usd) for each in reached} == {(Budget.USER, 6.0)}
        assert all(6.0 <= each.spent_usd <= 6.0 + 3 * RESPONSE_USD for each in reached)


async def test_what_waits_for_a_budget_outlives_every_process_and_two_raises_make_one_run(database: PostgresDatabase) -> None:
    script = Script.fresh()
    answers = costing(25.0)
    async with world(database) as here:
        here.answers = answers
        here.say(script.submit())
        await here.until(lambda _: "task.awaiting_budget.v1" in here.told(script))
    async with world(database, replicas=2) as here:
        here.answers = answers
        await asyncio.gather(*(replica.hear(script.raise_budget(30.0)) for replica in here.replicas * 3))
        await here.until_ended(1)
        assert here.told(script) == [
            "task.queued.v1",
            "task.running.v1",
            "runner.start.v1",
            "task.publishing.v1",
            "git.publish.v1",
            "task.succeeded.v1",
        ]
        assert len(here.fates) == 1
    assert await spent_usd(database) == 25.0


async def test_a_run_of_another_month_does_not_count(database: PostgresDatabase) -> None:
    async with world(database) as here:
        here.answers, project = costing(4.0), fresh()
        scripts = [Script.fresh(fresh())]
        scripts += [Script.fresh(scripts[0].owner) for _ in range(2)]
        await here.replicas[0].hear(set_budget(scripts[0], 5.0, 1, project))
        here.say(scripts[0].submit(project=project))
        await here.until_ended(1)
        here.clock.time = scripts[0].submit().time.replace(year=2030)
        here.say(scripts[1].submit(project=project))
        await here.until_ended(2)
        assert outcomes(here.published) == {TaskState.SUCCEEDED: 2}
