"""How long each wait may last, how often a step is sent again, and which states wait without a deadline. Durations only, no clock."""

from datetime import datetime, timedelta
from typing import Annotated, Final

from pydantic import BaseModel, Field

from services.scheduler.task import Task
from shared.events.values import TaskState

Seconds = Annotated[float, Field(gt=0)]
Sends = Annotated[int, Field(ge=1, le=10)]

WITHOUT_DEADLINE: Final = {
    TaskState.QUEUED: "waits for a slot of its owner; every task that holds one has a deadline, and the sweep offers free slots again",
    TaskState.BLOCKED: "waits for other tasks, each of which ends; no task enters it yet",
}
"""The states that wait for something which itself ends, and why that is enough."""


class Rules(BaseModel, frozen=True):
    """The durations and bounds of a task's life. The service's settings are these, so that operators and tests can change them."""

    prepare_seconds: Seconds = 600
    """Per try of `git.prepare`."""
    prepare_sends: Sends = 3
    start_seconds: Seconds = 7_200
    """Per try of `runner.start`, until `run.started`: generous, because the command may stand in the queue for a runner's slot."""
    start_sends: Sends = 2
    run_slack_seconds: Seconds = 180
    """Added to the run's own wall limit: image, checkout, harvest, and a redelivery after a lost runner."""
    max_attempts: Annotated[int, Field(ge=1, le=20)] = 4
    """Starts of one run (fences) before the runners are called lost."""
    publish_seconds: Seconds = 600
    """Per try of `git.publish`."""
    publish_sends: Sends = 3
    approval_seconds: Seconds = 7 * 86_400
    """How long a change waits for a person: long, but shorter than the snapshot it builds on is kept (10 days at least)."""
    budget_seconds: Seconds = 7 * 86_400
    """How long a task that has reached a budget waits for a person, likewise."""
    kept_seconds: Seconds = 9 * 86_400
    """How long what a run made can be published by hand after a task that did not: with the longest run not longer than its snapshot is
    kept (10 days at least)."""
    cancel_seconds: Seconds = 120
    """How long a cancelled run may take to say how it ended."""
    tombstone_seconds: Seconds = 3_600
    """How long a cancel waits for the submit it overtook."""


def after(now: datetime, seconds: float) -> datetime:
    """The deadline `seconds` from now."""
    return now + timedelta(seconds=seconds)


def of_approval(task: Task, now: datetime, rules: Rules) -> datetime:
    """The deadline of a change that waits for a person: not beyond what a task that was reopened keeps its work for."""
    deadline, made = after(now, rules.approval_seconds), task.run_result
    if task.former is None or made is None or made.kept_until is None:
        return deadline
    return min(deadline, made.kept_until)


def of_budget(task: Task, now: datetime, rules: Rules) -> datetime:
    """The deadline of a task that waits at a budget: not beyond what its work is kept for."""
    deadline, made = after(now, rules.budget_seconds), task.run_result
    return deadline if made is None or made.kept_until is None else min(deadline, made.kept_until)


def of_attempt(task: Task, now: datetime, rules: Rules) -> datetime:
    """The deadline of an attempt that just started: the run's own wall limit and the slack."""
    wall_seconds = task.order.limits.wall_seconds if task.order is not None else 0
    return after(now, wall_seconds + rules.run_slack_seconds)
