"""Budgets: what a task has spent, what it may still spend, and what becomes of it where a budget is used up. Pure, as `transitions`.

A task that reaches a budget is not over: its run is, with its work kept, and the task waits without a slot for a person who raises the
budget. Then another run goes on, for what the task may cost in all less what it has spent.
"""

from typing import Final

from services.scheduler import deadlines
from services.scheduler.decision import BudgetChanged, Decision, Moment, changed, decree, enter, fail, ignore
from services.scheduler.purse import Room
from services.scheduler.task import Task, known
from shared.events import commands, facts, ids
from shared.events.envelope import AnyEnvelope, Envelope
from shared.events.values import Budget, BudgetReached, Fate, TaskState

EXCEEDED: Final = "budget_exceeded"
OF_MONTH: Final = frozenset({Budget.PROJECT, Budget.USER})


def told_usd(message: AnyEnvelope) -> float | None:
    """What the attempt of this message has cost so far; None where the message says nothing of that."""
    told = message.data
    if not isinstance(told, facts.RunCheckpointed | facts.RunFinished | facts.RunFailed) or told.fence == 0:
        return None
    return round(told.usage.cost_usd, 6)


def charged(task: Task, message: AnyEnvelope) -> Task:
    """The task with what the message says that one of its attempts has cost. Less than was known before is no news."""
    usd = told_usd(message)
    if usd is None or task.ended or not _of(task, message.data.run_id):
        return task
    attempt = f"{message.data.run_id}.{message.data.fence}"
    return task if usd <= task.spent.get(attempt, 0.0) else changed(task, spent={**task.spent, attempt: usd})


def _of(task: Task, run_id: str) -> bool:
    return run_id in {task.run_id, *(ids.derive(task.task_id, f"turn.1.run.{number}") for number in range(1, task.runs + 1))}


def own(task: Task) -> Room:
    """What the task itself may cost in all its runs."""
    order = known(task.order)
    limits = {Budget.RUN: order.limits.max_cost_usd, Budget.TASK: task.raised_to_usd or order.max_cost_usd}
    if task.raised_to_usd is not None:
        del limits[Budget.RUN]
    budget, limit = min(((name, usd) for name, usd in limits.items() if usd is not None), key=lambda bound: bound[1])
    return Room(budget, limit, task.spent_usd)


def asked_about(task: Task, room: Room, moment: Moment) -> Decision:
    """The task waits for a person to raise this budget."""
    reached = BudgetReached(budget=room.budget, limit_usd=room.limit_usd, spent_usd=room.spent_usd)
    deadline = deadlines.of_budget(task, moment.now, moment.rules)
    fact = facts.TaskAwaitingBudget(reached=reached, spent_usd=task.spent_usd, expires_at=deadline, kept=task.kept)
    waiting, said = enter(task, TaskState.AWAITING_BUDGET, fact, moment, deadline_at=deadline, reached=reached)
    return Decision(waiting, (said,))


def stopped(task: Task, moment: Moment) -> Decision:
    """Its run was stopped at its share. Where that was all a month's budget had left just then, other runs may have left some since."""
    sealed, fate = decree(task, Fate.FINISHED)
    if task.share_of in OF_MONTH and task.share_usd is not None and task.spent_in_run_usd >= task.share_usd:
        waiting = _queued(sealed, moment)
    else:
        waiting = asked_about(sealed, own(sealed), moment)
    return Decision(waiting.task, waiting.messages, fate)


def _queued(task: Task, moment: Moment) -> Decision:
    """It waits for a slot, and for what the budgets say then."""
    queued, said = enter(task, TaskState.QUEUED, facts.TaskQueued(), moment, reached=None)
    return Decision(queued, (said,))


def raised(task: Task, message: Envelope[commands.SchedulerRaiseBudget], moment: Moment) -> Decision:
    """A person lets it cost more: it goes on as soon as it has a slot. The first of several counts."""
    total, reached = message.data.max_cost_usd, known(task.reached)
    if message.id in task.approvals:
        return ignore(task, "this raise has counted")
    if total is None and reached.budget not in OF_MONTH:
        return ignore(task, "it raises nothing")
    if total is not None and total <= task.spent_usd:
        return ignore(task, "it is not more than what is spent")
    more = changed(task, raised_to_usd=total or task.raised_to_usd, approvals=(*task.approvals, message.id))
    return _queued(more, moment)


def month_changed(task: Task, message: BudgetChanged, moment: Moment) -> Decision:
    """The month's budget that it waits for was set: it is looked at again."""
    if known(task.reached).budget not in OF_MONTH:
        return ignore(task, "it waits for another budget")
    if message.cause in task.approvals:
        return ignore(task, "this budget has counted")
    return _queued(changed(task, approvals=(*task.approvals, message.cause)), moment)


def not_raised(task: Task, _message: object, moment: Moment) -> Decision:
    """A person does not raise it, or nobody decided in time: the task ends, and what it made is kept."""
    return fail(task, EXCEEDED, moment)
