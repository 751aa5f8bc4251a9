"""A task that has ended and what a person does with its work: publish it, which reopens the task, or discard it. Pure, as `transitions`.

A task that succeeded has nothing left to decide. Any other ended task is left by a person's publish alone, and only while its work is kept.
"""

from services.scheduler import steps
from services.scheduler.decision import Decision, Moment, changed, ignore, say
from services.scheduler.task import Former, Task, known
from services.scheduler.work import kept, lost, made_by
from shared.events import commands, facts
from shared.events.envelope import Envelope
from shared.events.values import TaskState

NOTHING_KEPT = "nothing is kept of it"


def published_by_hand(task: Task, message: Envelope[commands.SchedulerPublish], moment: Moment) -> Decision:
    """A person publishes what was kept: at once when they name the tree whose diff is stored, else they are asked with the diff."""
    made = task.run_result
    if message.id in task.approvals:
        return ignore(task, "this publish has counted")
    if made is None or made.kept_until is None or moment.now >= made.kept_until:
        return ignore(task, NOTHING_KEPT)
    if message.data.tree_sha not in (None, made.tree_sha):
        return ignore(task, "it names another tree than the one kept")
    reopened = changed(
        task,
        former=Former(state=task.state, failure=task.failure),
        failure=None,
        cancel_requested=False,
        approved=message.data.tree_sha is not None and task.change_prepared,
        approvals=(*task.approvals, message.id),
        push_credential=message.data.credential or task.push_credential,
    )
    return steps.begin(reopened, TaskState.PUBLISHING, facts.TaskPublishing(run_id=known(task.published_run)), moment)


def discarded(task: Task, _message: Envelope[commands.SchedulerDiscard], moment: Moment) -> Decision:
    """A person does not want what was kept: nobody can publish it from now on."""
    if task.run_result is None:
        return ignore(task, NOTHING_KEPT)
    without = lost(task)
    return Decision(without, (say(without, facts.WorkDiscarded(tree_sha=task.run_result.tree_sha), moment),))


def kept_late(task: Task, message: Envelope[facts.RunFinished] | Envelope[facts.RunFailed], moment: Moment) -> Decision:
    """The run ended after its task: nothing comes of it by itself, but what it made is kept."""
    if message.data.run_id != task.run_id or message.data.fence < max(task.fence, 1):
        return ignore(task, "it is about another run, or an older attempt")
    late = kept(task, made_by(task, message, moment))
    if late == task or late.kept is None:
        return ignore(task, "it made nothing that is not kept or discarded already")
    late = changed(late, fence=message.data.fence)
    return Decision(late, (say(late, facts.WorkKept(run_id=known(task.run_id), kept=known(late.kept)), moment),))
