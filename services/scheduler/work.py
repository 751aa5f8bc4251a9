"""What a run made, as long as nobody has published it: taken from the end of the run, kept by the task, given up. No I/O."""

from datetime import datetime

from services.scheduler import deadlines
from services.scheduler.decision import Moment, changed
from services.scheduler.task import RunResult, Task
from shared.events.envelope import Envelope
from shared.events.facts import RunFailed, RunFinished


def made_by(task: Task, message: Envelope[RunFinished] | Envelope[RunFailed], moment: Moment) -> RunResult | None:
    """The work that the end of a run tells of; None where it made nothing, held no lease, or began from another base than this task's."""
    end = message.data
    if end.result is None or end.tree_sha is None or end.fence == 0 or end.base_sha != task.base_sha:
        return None
    return RunResult(
        tree_sha=end.tree_sha,
        result=end.result,
        finished_at=_ended_at(message),
        kept_until=deadlines.after(moment.now, moment.rules.kept_seconds),
        run_id=end.run_id,
        fence=end.fence,
    )


def _ended_at(message: Envelope[RunFinished] | Envelope[RunFailed]) -> datetime:
    """The commit's date: of the fact, so that a second try makes the same commit."""
    return message.data.finished_at if isinstance(message.data, RunFinished) else message.time


def kept(task: Task, made: RunResult | None) -> Task:
    """The task with this work, if there is any and nothing was kept of this run or discarded before; it takes an earlier run's place."""
    if made is None or task.discarded or (task.run_result is not None and task.run_result.run_id in (None, made.run_id)):
        return task
    return changed(task, run_result=made, change_prepared=False)


def lost(task: Task) -> Task:
    """The task without its work: a person does not want it, or it is no longer stored."""
    return changed(task, run_result=None, discarded=True)
