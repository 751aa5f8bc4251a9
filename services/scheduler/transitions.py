"""The scheduler's decision: `(task, message, now) → (task, messages, fate)`, a pure function. It must never do I/O or read a clock.

`table.py` says which function answers which message in which state; this file holds those functions. Three rules run through them:

- An answer counts when it names the awaited try of the step. Good news of an earlier try counts too (the work is the same work); bad
  news of an earlier try does not, because a newer one is out and its answer or its deadline decides.
- A run's facts are told apart by fence: the first `finished` or `failed` of the highest fence counts, whatever try brought it.
- A push that happened is a success, whoever asked for it last: it cannot be taken back.

A task that has ended is reopened only by a person's publish: `by_hand.py`.
"""

from typing import Any

from services.scheduler import budgets, deadlines, steps
from services.scheduler.decision import (
    Decision,
    Moment,
    SlotFree,
    cancel,
    changed,
    decree,
    enter,
    fail,
    ignore,
    succeed,
    time_out,
    withdraw,
)
from services.scheduler.task import Task, known
from services.scheduler.work import kept, lost, made_by
from shared.events import commands, facts, ids
from shared.events.envelope import AnyEnvelope, Envelope
from shared.events.ids import EventId, OwnerId, RunId, TaskId
from shared.events.values import Fate, Outcome, TaskState

NOT_AWAITED = "it answers no command of this step"
EARLIER_FAILED = "an earlier try failed late; the newer one decides"
OTHER_RUN = "it is about another run"
STALE_FENCE = "a newer attempt has begun"

_TIME_LIMITS = frozenset({"wall_time", "idle_time"})


def _born(message: AnyEnvelope, moment: Moment, **fields: Any) -> Task:
    """The task at its first message. `decide` has seen to it that owner and task are ids."""
    return Task(
        task_id=TaskId(message.task),
        owner=OwnerId(message.owner),
        state=TaskState.SUBMITTED,
        cause=message.id,
        entered_at=moment.now,
        **fields,
    )


# --- the beginning -------------------------------------------------------------------------------------------------------------------


def submitted(_task: None, message: Envelope[commands.SchedulerSubmit], moment: Moment) -> Decision:
    """A new task waits for a slot."""
    queued, said = enter(_born(message, moment, order=message.data), TaskState.QUEUED, facts.TaskQueued(), moment)
    return Decision(queued, (said,))


def cancelled_before_submit(_task: None, message: Envelope[commands.SchedulerCancel], moment: Moment) -> Decision:
    """The cancel overtook its submit: keep a tombstone for it to meet."""
    deadline = deadlines.after(moment.now, moment.rules.tombstone_seconds)
    return Decision(_born(message, moment, cancel_requested=True, deadline_at=deadline))


def submitted_to_tombstone(task: Task, message: Envelope[commands.SchedulerSubmit], moment: Moment) -> Decision:
    """The submit arrives after its cancel."""
    return cancel(changed(task, order=message.data), moment)


def tombstone_expired(task: Task, _message: object, moment: Moment) -> Decision:
    """No submit came for the cancel."""
    return cancel(task, moment)


def _is_called(lost_type: str, command_type: str) -> bool:
    """A command that could not be read is known by its subject alone, which has no version."""
    return lost_type in (command_type, command_type.rpartition(".")[0])


def submit_given_up(task: Task | None, message: Envelope[facts.CommandDeadLettered], moment: Moment) -> Decision:
    """The submit itself could not be handled: the task ends, so that nobody waits for it for ever."""
    if not _is_called(message.data.command_type, commands.SchedulerSubmit.TYPE):
        return ignore(task, "the scheduler's own command was given up; only a submit's loss ends a task")
    return fail(_born(message, moment), "internal", moment) if task is None else cancel(task, moment)


def slot_given(task: Task, message: SlotFree, moment: Moment) -> Decision:
    """The task takes its owner's free slot: its snapshot is made, or its run goes on. A budget that is used up is asked about."""
    rooms = (budgets.own(task), *message.rooms)
    if used_up := next((room for room in rooms if room.used_up), None):
        return budgets.asked_about(task, used_up, moment)
    least = min(rooms, key=lambda room: room.left_usd)
    if least.left_usd <= 0:
        return ignore(task, "what is left of a month's budget is promised to other runs")
    taken = changed(task, share_usd=least.left_usd, share_of=least.budget)
    if task.workspace is not None:
        return _run(taken, moment)
    return steps.begin(taken, TaskState.PREPARING, facts.TaskPreparing(), moment)


# --- the workspace -------------------------------------------------------------------------------------------------------------------


def _awaited(task: Task, cause: EventId | None) -> bool:
    return task.step is not None and cause == task.step.command_id


def _earlier(task: Task, cause: EventId | None) -> bool:
    return task.step is not None and cause in task.step.earlier


def workspace_prepared(task: Task, message: Envelope[facts.WorkspacePrepared], moment: Moment) -> Decision:
    """The snapshot is there: ask for a run."""
    if not _awaited(task, message.causationid) and not _earlier(task, message.causationid):
        return ignore(task, NOT_AWAITED)
    return _run(changed(task, base_sha=message.data.base_sha, workspace=message.data.workspace), moment)


def _run(task: Task, moment: Moment) -> Decision:
    """Ask for the next run. Its id follows from the task's and its number, so that there is one however often this is decided."""
    number = task.runs + 1
    run_id = RunId(ids.derive(task.task_id, f"turn.1.run.{number}"))
    ready = changed(task, run_id=run_id, runs=number, fence=0, attempts=0, fate=None)
    return steps.begin(
        ready, TaskState.RUNNING, facts.TaskRunning(run_id=run_id, begins_anew=number > 1 and task.checkpoint is None), moment
    )


def step_failed(task: Task, message: Envelope[facts.WorkspaceFailed] | Envelope[facts.ChangeFailed], moment: Moment) -> Decision:
    """The awaited command ended badly. A failed push of a task whose cancel was asked for is what the person wanted."""
    if _earlier(task, message.causationid):
        return ignore(task, EARLIER_FAILED)
    if not _awaited(task, message.causationid):
        return ignore(task, NOT_AWAITED)
    if task.cancel_requested:
        return withdraw(task, moment)
    gone = message.data.failure.code == "blob_missing"
    return fail(lost(task) if gone else task, message.data.failure, moment)


# --- the run -------------------------------------------------------------------------------------------------------------------------


def _not_this_attempt(task: Task, run_id: RunId, fence: int) -> str | None:
    if run_id != task.run_id:
        return OTHER_RUN
    return STALE_FENCE if fence < task.fence else None


def run_started(task: Task, message: Envelope[facts.RunStarted], moment: Moment) -> Decision:
    """A runner holds the run. A higher fence is another attempt; too many of them and the run is given up."""
    started = message.data
    if reason := _not_this_attempt(task, started.run_id, started.fence):
        return ignore(task, reason)
    if started.fence == task.fence:
        return ignore(task, "this attempt is known to have started")
    attempt = changed(task, fence=started.fence, attempts=task.attempts + 1)
    if task.cancel_requested:
        return Decision(attempt)  # its fate is written and its deadline stands
    if attempt.attempts > moment.rules.max_attempts:
        return fail(attempt, "runner_lost", moment)
    return Decision(changed(attempt, deadline_at=deadlines.of_attempt(task, moment.now, moment.rules)))


def run_checkpointed(task: Task, message: Envelope[facts.RunCheckpointed], _moment: Moment) -> Decision:
    """The run can go on from here: the newest checkpoint is kept, for its next attempt or the run after it."""
    if reason := _not_this_attempt(task, message.data.run_id, message.data.fence):
        return ignore(task, reason)
    if task.checkpointed_at is not None and message.time <= task.checkpointed_at:
        return ignore(task, "a newer checkpoint is known")
    return Decision(changed(task, checkpoint=message.data.checkpoint, checkpointed_at=message.time))


def run_finished(task: Task, message: Envelope[facts.RunFinished], moment: Moment) -> Decision:
    """The agent ended well: publish what it made, if it made anything. The first of the highest fence counts."""
    finished = message.data
    if reason := _not_this_attempt(task, finished.run_id, finished.fence):
        return ignore(task, reason)
    run = kept(changed(task, fence=finished.fence), made_by(task, message, moment))
    if task.cancel_requested:
        return cancel(run, moment)
    if finished.base_sha != task.base_sha:
        return fail(run, "tree_mismatch", moment)
    if finished.result is None:
        return succeed(run, facts.TaskSucceeded(outcome=Outcome.NO_CHANGES), moment)
    sealed, fate = decree(run, Fate.FINISHED)
    publishing = steps.begin(sealed, TaskState.PUBLISHING, facts.TaskPublishing(run_id=finished.run_id), moment)
    return Decision(publishing.task, publishing.messages, fate)


def run_failed(task: Task, message: Envelope[facts.RunFailed], moment: Moment) -> Decision:
    """The agent did not end well; what it made is kept. Fence 0 is a refusal: it counts for the awaited command and before any attempt."""
    failed = message.data
    if reason := _not_this_attempt(task, failed.run_id, failed.fence):
        return ignore(task, reason)
    if failed.fence == 0 and not _awaited(task, message.causationid):
        return ignore(task, EARLIER_FAILED if _earlier(task, message.causationid) else NOT_AWAITED)
    run = kept(changed(task, fence=failed.fence), made_by(task, message, moment))
    if task.cancel_requested or failed.failure.code == "cancelled":
        return cancel(run, moment)
    if failed.failure.code == budgets.EXCEEDED:
        return budgets.stopped(run, moment)
    if failed.failure.code in _TIME_LIMITS:
        return time_out(run, failed.failure, moment)
    return fail(run, failed.failure, moment)


# --- the change ----------------------------------------------------------------------------------------------------------------------


def _not_this_change(task: Task, run_id: RunId) -> str | None:
    return OTHER_RUN if run_id != task.published_run else None


def _tree(task: Task) -> str | None:
    return task.run_result.tree_sha if task.run_result is not None else None


def change_prepared(task: Task, message: Envelope[facts.ChangePrepared], _moment: Moment) -> Decision:
    """The diff can be reviewed from now on."""
    if reason := _not_this_change(task, message.data.run_id):
        return ignore(task, reason)
    if message.data.tree_sha != _tree(task):
        return ignore(task, "it shows another tree than the one made")
    return ignore(task, "the diff is known to be stored") if task.change_prepared else Decision(changed(task, change_prepared=True))


def change_published(task: Task, message: Envelope[facts.ChangePublished], moment: Moment) -> Decision:
    """The branch is there. What was pushed must be the tree that the sandbox wrote."""
    if reason := _not_this_change(task, message.data.run_id):
        return ignore(task, reason)
    if message.data.tree_sha != _tree(task):
        return fail(task, "tree_mismatch", moment)
    return succeed(task, facts.TaskSucceeded(outcome=Outcome.PUBLISHED, commit_sha=message.data.commit_sha), moment)


def change_held(task: Task, message: Envelope[facts.ChangeHeld], moment: Moment) -> Decision:
    """Nothing was pushed: a person decides. Held in spite of an approval, it waits for a person again."""
    if not _awaited(task, message.causationid) and not _earlier(task, message.causationid):
        return ignore(task, NOT_AWAITED)
    if reason := _not_this_change(task, message.data.run_id):
        return ignore(task, reason)
    if task.cancel_requested:
        return withdraw(task, moment)
    if message.data.tree_sha != _tree(task):
        return fail(task, "tree_mismatch", moment)
    deadline = deadlines.of_approval(task, moment.now, moment.rules)
    held = facts.TaskAwaitingApproval(tree_sha=message.data.tree_sha)
    waiting, said = enter(task, TaskState.AWAITING_APPROVAL, held, moment, deadline_at=deadline, approved=False)
    return Decision(waiting, (said,))


def approved(task: Task, message: Envelope[commands.SchedulerApprove], moment: Moment) -> Decision:
    """A person lets this tree be pushed; an approval of any other tree is worth nothing."""
    if message.data.tree_sha != _tree(task):
        return ignore(task, "it approves another tree than the one held")
    if message.id in task.approvals:
        return ignore(task, "this approval has counted")
    allowed = changed(task, approved=True, approvals=(*task.approvals, message.id))
    publishing = facts.TaskPublishing(run_id=known(task.published_run))
    return steps.begin(allowed, TaskState.PUBLISHING, publishing, moment)


def rejected(task: Task, _message: Envelope[commands.SchedulerReject], moment: Moment) -> Decision:
    """A person does not want the change: it is discarded, and a task that was reopened ends again as it had ended."""
    return withdraw(lost(task), moment)


# --- cancel, deadlines, dead letters -------------------------------------------------------------------------------------------------


def cancel_at_once(task: Task, _message: Envelope[commands.SchedulerCancel], moment: Moment) -> Decision:
    """Nothing is out that could not be ignored. A task that was reopened ends again as it had ended; its work is still kept."""
    return withdraw(task, moment)


def cancel_run(task: Task, _message: Envelope[commands.SchedulerCancel], moment: Moment) -> Decision:
    """Before a runner holds the run, the task ends at once; after that the holder hears the fate and says how the run ended."""
    if task.cancel_requested:
        return ignore(task, "a cancel was already asked for")
    if task.fence == 0:
        return cancel(task, moment)
    sealed, fate = decree(changed(task, cancel_requested=True), Fate.CANCELLED)
    deadline = deadlines.after(moment.now, moment.rules.cancel_seconds)
    return Decision(changed(sealed, deadline_at=deadline), (), fate)


def cancel_push(task: Task, _message: Envelope[commands.SchedulerCancel], _moment: Moment) -> Decision:
    """The push may have happened: its answer decides. Published is published, everything else is cancelled, or as it was if reopened.

    It is not sent again, and keeps the time it had: ending earlier would only make a push after the end likelier.
    """
    if task.cancel_requested:
        return ignore(task, "a cancel was already asked for")
    return Decision(changed(task, cancel_requested=True))


def step_overdue(task: Task, _message: object, moment: Moment) -> Decision:
    """No answer in time: send again, or fail. Who asked for a cancel waits no longer."""
    return withdraw(task, moment) if task.cancel_requested else steps.again(task, moment)


def step_given_up(task: Task, message: Envelope[facts.CommandDeadLettered], moment: Moment) -> Decision:
    """The step's command is in the dead letters. What was refused would be refused again; the rest is sent again as at a deadline.

    Without an id (the bytes could not be read) the type has to do.
    """
    lost, step = message.data, task.step
    if step is None or not _is_called(lost.command_type, step.command_type):
        return ignore(task, NOT_AWAITED)
    if lost.command_id is not None and lost.command_id != step.command_id:
        return ignore(task, EARLIER_FAILED if lost.command_id in step.earlier else NOT_AWAITED)
    if task.cancel_requested:
        return ignore(task, "a cancel was asked for; the deadline stands")
    if lost.reason in ("invalid", "refused"):
        return fail(task, "internal", moment)
    return steps.again(task, moment, keep_deadline=task.state is TaskState.RUNNING and task.fence > 0)


def nobody_decided(task: Task, _message: object, moment: Moment) -> Decision:
    """The change waited for a person until it could be kept no longer; a task that was reopened ends again as it had ended."""
    return time_out(task, "step_time", moment) if task.former is None else withdraw(task, moment)
