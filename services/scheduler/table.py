"""The one table: for every state and every message either the transition that answers it, or the reason why it is ignored.

Nothing falls through: the table is checked to be total when it is built, and docs/states.md is made from it. No I/O.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from services.scheduler import budgets, by_hand
from services.scheduler import transitions as to
from services.scheduler.deadlines import Rules
from services.scheduler.decision import BudgetChanged, DeadlinePassed, Decision, Internal, Message, Moment, SlotFree, ignore
from services.scheduler.task import Task, known
from shared.events import commands, facts
from shared.events.ids import is_uuid
from shared.events.payload import Payload
from shared.events.values import TaskState


@dataclass(frozen=True)
class Ignored:
    """A message that changes nothing in this state, and why."""

    reason: str


Transition = Callable[[Any, Any, Moment], Decision]
State = TaskState | None
"""None: the scheduler has never heard of the task."""
Kind = type[Payload] | type[Internal]
Row = Mapping[Kind, Transition | Ignored]

_Submit, _Cancel, _Approve, _Reject = (
    commands.SchedulerSubmit,
    commands.SchedulerCancel,
    commands.SchedulerApprove,
    commands.SchedulerReject,
)
_Publish, _Discard, _Raise = commands.SchedulerPublish, commands.SchedulerDiscard, commands.SchedulerRaiseBudget
_WORKSPACE = (facts.WorkspacePrepared, facts.WorkspaceFailed)
_RUN = (facts.RunStarted, facts.RunCheckpointed, facts.RunFinished, facts.RunFailed)
_CHANGE = (facts.ChangePrepared, facts.ChangeHeld, facts.ChangePublished, facts.ChangeFailed)
_REVIEW = (_Approve, _Reject)
_BY_HAND = (_Publish, _Discard)
_Lost = facts.CommandDeadLettered

_BUDGET = (_Raise, BudgetChanged)

KINDS: Final[tuple[Kind, ...]] = (
    *(_Submit, _Cancel, *_REVIEW, _Raise, *_BY_HAND),
    *(*_WORKSPACE, *_RUN, *_CHANGE, _Lost, SlotFree, DeadlinePassed, BudgetChanged),
)
"""Everything that can happen to a task."""

_UNKNOWN = "no such task: it answers nothing that was asked for it"
_BEFORE = "nothing was asked that it could answer"
_OVER = "the step is over; the first answer counted"
_ENDED = "the task has ended, and only a person's publish of what it made reopens it"
_DONE = "the task has succeeded, which nothing undoes"
_NOT_ENDED = "the task has not ended"
_KNOWN = "the task was submitted before"
_NOTHING_HELD = "no change is held"
_NOT_QUEUED = "only a queued task takes a slot"
_NO_STEP = "no command of ours is out"
_NO_BUDGET_ASKED = "it waits for no budget"
_UNUSED = "no task enters this state yet"


def _because(reason: str, *kinds: Kind) -> dict[Kind, Ignored]:
    return dict.fromkeys(kinds, Ignored(reason))


def _row(*parts: Row) -> Row:
    row: dict[Kind, Transition | Ignored] = {}
    for part in parts:
        if twice := row.keys() & part.keys():
            raise AssertionError(f"two answers to {twice}")
        row.update(part)
    if missing := set(KINDS) - row.keys():
        raise AssertionError(f"no answer to {missing}")
    return row


_ENDED_WITHOUT_PUBLISHING: Final = _row(
    {_Publish: by_hand.published_by_hand, _Discard: by_hand.discarded},
    {facts.RunFinished: by_hand.kept_late, facts.RunFailed: by_hand.kept_late, facts.ChangePrepared: to.change_prepared},
    _because(_ENDED, _Submit, _Cancel, *_REVIEW, *_WORKSPACE, facts.RunStarted, facts.RunCheckpointed),
    _because(_ENDED, facts.ChangeHeld, facts.ChangePublished, facts.ChangeFailed, _Lost, SlotFree, DeadlinePassed, *_BUDGET),
)

TABLE: Final[Mapping[State, Row]] = {
    None: _row(
        {_Submit: to.submitted, _Cancel: to.cancelled_before_submit, _Lost: to.submit_given_up},
        _because(_UNKNOWN, *_REVIEW, *_BUDGET, *_BY_HAND, *_WORKSPACE, *_RUN, *_CHANGE, SlotFree, DeadlinePassed),
    ),
    TaskState.SUBMITTED: _row(
        {_Submit: to.submitted_to_tombstone, _Lost: to.submit_given_up, DeadlinePassed: to.tombstone_expired},
        _because("a cancel was already asked for", _Cancel),
        _because(_BEFORE, *_WORKSPACE, *_RUN, *_CHANGE),
        _because(_NOTHING_HELD, *_REVIEW),
        _because(_NOT_ENDED, *_BY_HAND),
        _because(_NOT_QUEUED, SlotFree),
        _because(_NO_BUDGET_ASKED, *_BUDGET),
    ),
    TaskState.BLOCKED: _row(_because(_UNUSED, *KINDS)),
    TaskState.QUEUED: _row(
        {_Cancel: to.cancel_at_once, SlotFree: to.slot_given, facts.RunCheckpointed: to.run_checkpointed},
        _because(_KNOWN, _Submit),
        _because(_BEFORE, *_WORKSPACE, facts.RunStarted, facts.RunFinished, facts.RunFailed, *_CHANGE),
        _because(_NOTHING_HELD, *_REVIEW),
        _because(_NOT_ENDED, *_BY_HAND),
        _because(_NO_STEP, _Lost),
        _because("a queued task has no deadline", DeadlinePassed),
        _because(_NO_BUDGET_ASKED, *_BUDGET),
    ),
    TaskState.PREPARING: _row(
        {_Cancel: to.cancel_at_once, _Lost: to.step_given_up, DeadlinePassed: to.step_overdue},
        {facts.WorkspacePrepared: to.workspace_prepared, facts.WorkspaceFailed: to.step_failed},
        _because(_KNOWN, _Submit),
        _because(_BEFORE, *_RUN, *_CHANGE),
        _because(_NOTHING_HELD, *_REVIEW),
        _because(_NOT_ENDED, *_BY_HAND),
        _because(_NOT_QUEUED, SlotFree),
        _because(_NO_BUDGET_ASKED, *_BUDGET),
    ),
    TaskState.RUNNING: _row(
        {_Cancel: to.cancel_run, _Lost: to.step_given_up, DeadlinePassed: to.step_overdue},
        {facts.RunStarted: to.run_started, facts.RunCheckpointed: to.run_checkpointed},
        {facts.RunFinished: to.run_finished, facts.RunFailed: to.run_failed},
        _because(_KNOWN, _Submit),
        _because(_OVER, *_WORKSPACE),
        _because(_BEFORE, *_CHANGE),
        _because(_NOTHING_HELD, *_REVIEW),
        _because(_NOT_ENDED, *_BY_HAND),
        _because(_NOT_QUEUED, SlotFree),
        _because(_NO_BUDGET_ASKED, *_BUDGET),
    ),
    TaskState.PUBLISHING: _row(
        {_Cancel: to.cancel_push, _Lost: to.step_given_up, DeadlinePassed: to.step_overdue},
        {facts.ChangePrepared: to.change_prepared, facts.ChangeHeld: to.change_held},
        {facts.ChangePublished: to.change_published, facts.ChangeFailed: to.step_failed},
        _because(_KNOWN, _Submit),
        _because(_OVER, *_WORKSPACE, *_RUN),
        _because(_NOTHING_HELD, *_REVIEW),
        _because(_NOT_ENDED, *_BY_HAND),
        _because(_NOT_QUEUED, SlotFree),
        _because(_NO_BUDGET_ASKED, *_BUDGET),
    ),
    TaskState.AWAITING_APPROVAL: _row(
        {_Cancel: to.cancel_at_once, _Approve: to.approved, _Reject: to.rejected, DeadlinePassed: to.nobody_decided},
        {facts.ChangePrepared: to.change_prepared, facts.ChangePublished: to.change_published},
        _because(_KNOWN, _Submit),
        _because(_NOT_ENDED, *_BY_HAND),
        _because(_OVER, *_WORKSPACE, *_RUN, facts.ChangeHeld, facts.ChangeFailed),
        _because(_NO_STEP, _Lost),
        _because(_NOT_QUEUED, SlotFree),
        _because(_NO_BUDGET_ASKED, *_BUDGET),
    ),
    TaskState.AWAITING_BUDGET: _row(
        {_Cancel: to.cancel_at_once, _Raise: budgets.raised, BudgetChanged: budgets.month_changed},
        {_Reject: budgets.not_raised, DeadlinePassed: budgets.not_raised},
        _because(_KNOWN, _Submit),
        _because(_NOTHING_HELD, _Approve),
        _because(_NOT_ENDED, *_BY_HAND),
        {facts.RunCheckpointed: to.run_checkpointed},
        _because(_OVER, *_WORKSPACE, facts.RunStarted, facts.RunFinished, facts.RunFailed),
        _because(_BEFORE, *_CHANGE),
        _because(_NO_STEP, _Lost),
        _because(_NOT_QUEUED, SlotFree),
    ),
    TaskState.SUCCEEDED: _row(_because(_DONE, *KINDS)),
    TaskState.FAILED: _ENDED_WITHOUT_PUBLISHING,
    TaskState.CANCELLED: _ENDED_WITHOUT_PUBLISHING,
    TaskState.TIMED_OUT: _ENDED_WITHOUT_PUBLISHING,
}

_DEFAULT = Rules()


def _misdirected(task: Task | None, message: Message) -> str | None:
    """Why a message is not for this task at all: one table row cannot say it."""
    if isinstance(message, Internal):
        return None
    if not (is_uuid(message.owner) and is_uuid(message.task)):
        return "it names no task"
    if task is not None and (message.owner, message.task) != (task.owner, task.task_id):
        return "it names another task or owner"
    return None


def decide(task: Task | None, message: Message, now: datetime, rules: Rules = _DEFAULT) -> Decision:
    """What becomes of a task (None: never heard of) when this happens to it.

    Pure: the same arguments always give the same decision, ids included. A message of a kind the table does not know is a fault
    of the wiring and raises KeyError.
    """
    internal = isinstance(message, Internal)
    answer = TABLE[task.state if task is not None else None][type(message) if internal else type(message.data)]
    if reason := _misdirected(task, message):
        return ignore(task, reason)
    if task is None or isinstance(message, Internal):
        return _answered(answer, task, message, now, rules)
    charged = budgets.charged(task, message)
    decision = _answered(answer, charged, message, now, rules)
    return decision if decision.ignored is None else (ignore(task, decision.ignored) if charged == task else Decision(charged))


def _answered(answer: Transition | Ignored, task: Task | None, message: Message, now: datetime, rules: Rules) -> Decision:
    if isinstance(answer, Ignored):
        return ignore(task, answer.reason)
    if isinstance(message, DeadlinePassed) and (task is None or task.deadline_at is None or now < task.deadline_at):
        return ignore(task, "the deadline was moved")
    if isinstance(message, BudgetChanged):
        return answer(task, message, Moment(now, rules, message.cause))
    if isinstance(message, Internal):
        return answer(task, message, Moment(now, rules, known(task).cause))
    return answer(task, message, Moment(now, rules, message.id))
