"""The three steps a task waits in: which command each sends, how long it waits for the answer, how often it sends again. No I/O."""

from dataclasses import dataclass
from datetime import datetime

from services.scheduler import deadlines
from services.scheduler.decision import Decision, Moment, changed, enter, fail, say
from services.scheduler.task import Step, Task, known
from shared.events.commands import GitPrepare, GitPublish, RunnerStart
from shared.events.envelope import AnyEnvelope
from shared.events.ids import EventId
from shared.events.payload import Command, Fact
from shared.events.values import PublishPolicy, Purpose, TaskState


@dataclass(frozen=True)
class _Patience:
    """How long one try of a step may take, how many tries there are, and the failure after the last."""

    seconds: float
    sends: int
    failure: str


def _patience(task: Task, moment: Moment) -> _Patience:
    rules = moment.rules
    if task.state is TaskState.PREPARING:
        return _Patience(rules.prepare_seconds, rules.prepare_sends, "step_time")
    if task.state is TaskState.PUBLISHING:
        return _Patience(rules.publish_seconds, rules.publish_sends, "step_time")
    return _Patience(rules.start_seconds, rules.start_sends, "runner_lost" if task.fence else "no_runner")


def _command(task: Task) -> Command:
    """The command of the task's step."""
    order, git_token = known(task.order), task.credential(Purpose.GIT_TOKEN)
    if task.state is TaskState.PREPARING:
        return GitPrepare(repository_id=order.repository_id, credential=git_token)
    run_id, base_sha, workspace = known(task.run_id), known(task.base_sha), known(task.workspace)
    if task.state is TaskState.RUNNING:
        return RunnerStart(
            run_id=run_id,
            agent=order.agent,
            model=order.model,
            agent_options=order.agent_options,
            limits=order.limits if task.share_usd is None else order.limits.model_copy(update={"max_cost_usd": task.share_usd}),
            base_sha=base_sha,
            workspace=workspace,
            credential=task.credential(Purpose.MODEL_KEY),
            resume=task.checkpoint,
            packages=order.packages,
            environment=order.environment,
        )
    made = known(task.run_result)
    return GitPublish(
        run_id=known(task.published_run),
        fence=made.fence or task.fence,
        repository_id=order.repository_id,
        credential=task.push_credential or git_token,
        base_sha=base_sha,
        tree_sha=made.tree_sha,
        workspace=workspace,
        result=made.result,
        authored_at=made.finished_at,
        agent=order.agent,
        publish_policy=order.publish_policy if task.former is None else PublishPolicy.ASK,
        approved=task.approved,
    )


def _send(task: Task, moment: Moment, earlier: tuple[EventId, ...], not_before: datetime | None) -> tuple[Task, AnyEnvelope]:
    """Send the step's command. Every try is derived from what brought the task here and the number of the try."""
    command = say(task, _command(task), moment, cause=task.cause, number=len(earlier) + 1)
    deadline = deadlines.after(moment.now, _patience(task, moment).seconds)
    if not_before is not None and not_before > deadline:
        deadline = not_before
    step = Step(command_type=command.type, command_id=command.id, earlier=earlier)
    return changed(task, step=step, deadline_at=deadline), command


def begin(task: Task, state: TaskState, fact: Fact, moment: Moment) -> Decision:
    """Enter a state that waits for a service, and send its command."""
    entered, said = enter(task, state, fact, moment)
    waiting, command = _send(entered, moment, (), None)
    return Decision(waiting, (said, command))


def again(task: Task, moment: Moment, *, keep_deadline: bool = False) -> Decision:
    """Send the step's command once more, or fail when it was sent often enough.

    `keep_deadline`: an attempt may still be alive and must not get less time than it had.
    """
    step = known(task.step)
    patience = _patience(task, moment)
    if step.sends >= patience.sends:
        return fail(task, patience.failure, moment)
    not_before = task.deadline_at if keep_deadline else None
    waiting, command = _send(task, moment, (*step.earlier, step.command_id), not_before)
    return Decision(waiting, (command,))
