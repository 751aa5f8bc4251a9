"""What `decide` takes beside a task and what it gives: internal messages, the moment, the decision, and the ways to build one.

Free of I/O. A decision says everything that must happen in one transaction, and nothing outside it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.scheduler.deadlines import Rules
from services.scheduler.purse import Room
from services.scheduler.task import Task
from shared.events import envelope
from shared.events.envelope import AnyEnvelope
from shared.events.facts import TaskCancelled, TaskFailed, TaskSucceeded, TaskTimedOut
from shared.events.failures import Failure, failure
from shared.events.ids import EventId, RunId
from shared.events.payload import Payload
from shared.events.values import ENDED, Fate, TaskState


@dataclass(frozen=True)
class DeadlinePassed:
    """The clock says that the task's deadline may be over; the task itself knows whether it is."""


@dataclass(frozen=True)
class SlotFree:
    """The owner has a free slot and this task is the oldest that waits for one."""

    rooms: tuple[Room, ...] = ()
    """What the month's budgets have left for it; none where none is set."""


@dataclass(frozen=True)
class BudgetChanged:
    """A budget of the month was set, and the task may be one that waits for it."""

    cause: EventId
    """The command that set it."""


Internal = DeadlinePassed | SlotFree | BudgetChanged
Message = AnyEnvelope | Internal


@dataclass(frozen=True)
class Moment:
    """When and under which rules a message is decided, and what the messages it leads to are derived from."""

    now: datetime
    rules: Rules
    cause: EventId


@dataclass(frozen=True)
class RunFate:
    """A fate to write to the bucket `fate`: the run's holder hears it and stops, and nobody claims the run again."""

    run_id: RunId
    fate: Fate


@dataclass(frozen=True)
class Decision:
    """The task as it is now, and what to send. `ignored` says why a message changed nothing."""

    task: Task | None
    messages: tuple[AnyEnvelope, ...] = ()
    fate: RunFate | None = None
    ignored: str | None = None


def ignore(task: Task | None, reason: str) -> Decision:
    """Leave everything as it is, and say why."""
    return Decision(task, ignored=reason)


def changed(task: Task, **changes: Any) -> Task:
    """The task with these fields replaced, validated again."""
    return Task.model_validate({**dict(task), **changes})


def say(task: Task, payload: Payload, moment: Moment, *, cause: EventId | None = None, number: int = 1) -> AnyEnvelope:
    """A message about the task. Its id follows from its cause, so that deciding twice says the same thing once."""
    return envelope.new(
        payload,
        source="scheduler",
        owner=task.owner,
        task=task.task_id,
        cause=cause or moment.cause,
        discriminator="" if number == 1 else str(number),
        at=moment.now,
    )


def enter(task: Task, state: TaskState, fact: Payload, moment: Moment, **changes: Any) -> tuple[Task, AnyEnvelope]:
    """The task in its new state, and the one fact that says so. The step and the deadline of the old state are over."""
    fresh = {"step": None, "deadline_at": None, **changes}
    entered = changed(task, state=state, cause=moment.cause, entered_at=moment.now, **fresh)
    return entered, say(entered, fact, moment)


def decree(task: Task, fate: Fate) -> tuple[Task, RunFate | None]:
    """Write the run's fate, if there is a run and it has none: whoever holds the run stops, and no late command starts it again."""
    if task.run_id is None or task.fate is not None:
        return task, None
    return changed(task, fate=fate), RunFate(task.run_id, fate)


_FATES = {
    TaskState.SUCCEEDED: Fate.FINISHED,
    TaskState.FAILED: Fate.INTERRUPTED,
    TaskState.CANCELLED: Fate.CANCELLED,
    TaskState.TIMED_OUT: Fate.TIMED_OUT,
}


def _end(task: Task, state: TaskState, fact: Payload, moment: Moment, failure: Failure | None = None) -> Decision:
    if state not in ENDED:  # pragma: no cover - a programming error
        raise AssertionError(state)
    sealed, fate = decree(task, _FATES[state])
    ended, said = enter(sealed, state, fact, moment, failure=failure, former=None)
    return Decision(ended, (said,), fate)


def succeed(task: Task, fact: TaskSucceeded, moment: Moment) -> Decision:
    """End well."""
    return _end(task, TaskState.SUCCEEDED, fact, moment)


def fail(task: Task, why: Failure | str, moment: Moment) -> Decision:
    """End without a branch, for a failure or the code of one."""
    reason = failure(why) if isinstance(why, str) else why
    return _end(task, TaskState.FAILED, TaskFailed(failure=reason, kept=task.kept), moment, reason)


def time_out(task: Task, why: Failure | str, moment: Moment) -> Decision:
    """End at a time limit."""
    reason = failure(why) if isinstance(why, str) else why
    return _end(task, TaskState.TIMED_OUT, TaskTimedOut(failure=reason, kept=task.kept), moment, reason)


def cancel(task: Task, moment: Moment) -> Decision:
    """End because a person wanted it."""
    return _end(task, TaskState.CANCELLED, TaskCancelled(kept=task.kept), moment)


def withdraw(task: Task, moment: Moment) -> Decision:
    """End because a person wanted it; a task that was reopened ends again as it had ended, for the same reason."""
    former = task.former
    if former is None or former.state is TaskState.CANCELLED:
        return cancel(task, moment)
    why = former.failure or failure("internal")  # a row that is older than the field
    return time_out(task, why, moment) if former.state is TaskState.TIMED_OUT else fail(task, why, moment)
