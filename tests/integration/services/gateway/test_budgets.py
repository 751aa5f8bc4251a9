"""Budgets at the edge: who may set and raise them when, what the scheduler is told, and what a person is shown."""

from datetime import UTC, datetime, timedelta

from shared.events import catalogue, facts
from shared.events.commands import SchedulerRaiseBudget, SchedulerReject, SchedulerSetBudget
from shared.events.ids import RunId, fresh
from shared.events.payload import Payload
from shared.events.values import Budget, BudgetReached

from .stack import Gateway, Person, Service, Task

RUN = RunId(fresh())


async def sent(service: Service, *kinds: type[Payload]) -> list[Payload]:
    stored = [catalogue.parse(message.data).data for message in await service.bus.read("CMD", "cmd.scheduler.>", 0)]
    return [command for command in stored if isinstance(command, kinds)]


def waits(budget: Budget, spent_usd: float = 2.5) -> facts.TaskAwaitingBudget:
    reached = BudgetReached(budget=budget, limit_usd=2.0, spent_usd=spent_usd)
    return facts.TaskAwaitingBudget(reached=reached, spent_usd=spent_usd, expires_at=datetime.now(UTC) + timedelta(days=7))


async def refused(somebody: Person, task: Task, usd: float | None) -> tuple[int, str]:
    answer = await somebody.http.post(f"/v1/tasks/{task.id}/budget", json={} if usd is None else {"max_cost_usd": usd})
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


async def test_a_budget_is_raised_where_a_task_waits_for_it_and_by_more_than_is_spent(
    gateway: Gateway, somebody: Person, another: Person
) -> None:
    task = await somebody.task()
    async with gateway.service("scheduler") as scheduler:
        assert await refused(somebody, task, 5) == (409, "wrong-state")
        assert await refused(another, task, 5) == (404, "not-found")
        await scheduler.says(task, waits(Budget.RUN))
        shown = await somebody.shown(task, state="awaiting_budget")
        assert (shown["budget"]["reached"]["budget"], shown["budget"]["spent_usd"]) == ("run", 2.5)
        for usd in (None, 2.5, 1_001, 0, -1):
            assert await refused(somebody, task, usd) == (422, "invalid")
        await somebody.post(f"/v1/tasks/{task.id}/budget", {"max_cost_usd": 5})
        await scheduler.says(task, waits(Budget.PROJECT))
        await somebody.shown(task, state="awaiting_budget")
        await somebody.post(f"/v1/tasks/{task.id}/budget", {})
        await somebody.post(f"/v1/tasks/{task.id}/reject")
        wanted = [SchedulerRaiseBudget(max_cost_usd=5), SchedulerRaiseBudget(), SchedulerReject()]
        while len(told := await sent(scheduler, SchedulerRaiseBudget, SchedulerReject)) < len(wanted):
            pass
        assert told == wanted
        await scheduler.says(task, facts.TaskRunning(run_id=RUN, begins_anew=True))
        await somebody.shown(task, state="running", budget=None, begins_anew=True)


async def test_a_month_s_budget_is_set_by_its_owner_and_each_time_has_a_higher_version(
    gateway: Gateway, somebody: Person, another: Person
) -> None:
    project = await somebody.project("https://example.com/team/one.git")
    path = f"/v1/projects/{project}/budget"
    for method in ("GET", "PUT"):
        assert (await another.http.request(method, path, json={"monthly_usd": 1})).status_code == 404
    assert (await somebody.http.get(path)).json() == {"project_id": project, "monthly_usd": None}
    for where, usd in ((path, 50.5), (path, None), ("/v1/budget", 0)):
        answer = await somebody.http.put(where, json={"monthly_usd": usd})
        assert (answer.status_code, answer.json()["monthly_usd"]) == (200, usd)
    assert (await somebody.http.put(path, json={"monthly_usd": -1})).status_code == 422
    assert (await somebody.http.get("/v1/budget")).json() == {"project_id": None, "monthly_usd": 0}
    assert (await another.http.get("/v1/budget")).json() == {"project_id": None, "monthly_usd": None}
    async with gateway.service("scheduler") as scheduler:
        wanted = [
            SchedulerSetBudget.model_validate({"project_id": project, "monthly_usd": 50.5, "version": 1}),
            SchedulerSetBudget.model_validate({"project_id": project, "version": 2}),
            SchedulerSetBudget(monthly_usd=0, version=1),
        ]
        while len(told := await sent(scheduler, SchedulerSetBudget)) < len(wanted):
            pass
        assert told == wanted
