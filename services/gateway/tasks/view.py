"""What the facts say about a task, as people see it: a pure fold, one fact at a time, in EVT's order.

The projection stores it and an open stream folds the same way, so both always say the same. It decides nothing: the scheduler does.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import Field

from shared.events import facts
from shared.events.envelope import AnyEnvelope
from shared.events.failures import Failure
from shared.events.ids import GitSha, RunId
from shared.events.payload import Fact, Value
from shared.events.values import ENDED, BlobRef, BudgetReached, Ecosystem, Kept, Outcome, TaskState, Usage


class Change(Value):
    """The stored diff of a task, and whether it waits for a person."""

    files: int
    additions: int
    deletions: int
    protected_files: int
    held_reason: str | None = None


class BudgetWait(Value):
    """A task that waits for a person to raise a budget, until `expires_at`; then it ends as failed, its work kept."""

    reached: BudgetReached
    spent_usd: float
    """By the task in all its runs."""
    expires_at: datetime | None = None


class Refused(Value):
    """A kind of request that a sandbox of the task made and did not get."""

    ecosystem: Ecosystem | None
    """Whose packages it asked for; None: the model's API."""
    reason: str
    times: int
    """Different requests of this kind, as far as the egress process remembers them."""


class EnvironmentPhase(Value):
    """How the project's environment came into the sandbox of the task's last run."""

    state: Literal["setting_up", "ready", "failed"]
    cached: bool = False
    """It was made for a run before."""
    size_bytes: int = 0
    seconds: float | None = None
    """Until it was in place."""


class View(Value):
    """What is known besides the state. New fields need defaults: older rows lack them."""

    run_ids: tuple[RunId, ...] = ()
    fence: int = 0
    ended_fence: int = 0
    base_sha: GitSha | None = None
    tree_sha: GitSha | None = None
    commit_sha: GitSha | None = None
    outcome: Outcome | None = None
    failure: Failure | None = None
    usage: Usage | None = None
    usages: dict[str, Usage] = Field(default_factory=dict[str, Usage])
    """Of each attempt (`run.fence`), as it told last; `usage` is their sum."""
    change: Change | None = None
    pull_request_number: int | None = None
    transcript: BlobRef | None = None
    earlier_transcripts: tuple[BlobRef, ...] = ()
    """Of the runs before the last, in their order: a raised budget is another run."""
    changes: BlobRef | None = None
    patch: BlobRef | None = None
    out_last: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    kept: Kept | None = None
    refused: tuple[Refused, ...] = ()
    environment: EnvironmentPhase | None = None
    budget: BudgetWait | None = None
    begins_anew: bool = False
    """Its run goes on after a raised budget, and nothing was left that it could go on from."""
    reopened: bool = False
    """The task had ended once, and a person published by hand what it made: no agent runs for it any more."""


class Progress(Value):
    """A task's state and view as of the fact `evt_sequence` in EVT; `evt_first` is the first fact ever folded. 0: none yet."""

    state: TaskState = TaskState.SUBMITTED
    evt_first: int = 0
    evt_sequence: int = 0
    view: View = View()

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen, unless a person publishes what was kept."""
        return self.state in ENDED


STATES: Final[Mapping[type[Fact], TaskState]] = {
    facts.TaskBlocked: TaskState.BLOCKED,
    facts.TaskQueued: TaskState.QUEUED,
    facts.TaskPreparing: TaskState.PREPARING,
    facts.TaskRunning: TaskState.RUNNING,
    facts.TaskPublishing: TaskState.PUBLISHING,
    facts.TaskAwaitingApproval: TaskState.AWAITING_APPROVAL,
    facts.TaskAwaitingBudget: TaskState.AWAITING_BUDGET,
    facts.TaskSucceeded: TaskState.SUCCEEDED,
    facts.TaskFailed: TaskState.FAILED,
    facts.TaskCancelled: TaskState.CANCELLED,
    facts.TaskTimedOut: TaskState.TIMED_OUT,
}


def fold(progress: Progress, sequence: int, envelope: AnyEnvelope) -> Progress:
    """The progress after this fact; unchanged when it is not newer than what is known."""
    if sequence <= progress.evt_sequence:
        return progress
    fact: Fact = envelope.data
    state = STATES.get(type(fact), progress.state)
    learned = _learn(progress.view, fact, envelope.time)
    if type(fact) in STATES:
        learned = {**_entered(progress, state, envelope.time), **learned}
    return Progress(
        state=state,
        evt_first=progress.evt_first or sequence,
        evt_sequence=sequence,
        view=progress.view.model_copy(update=learned),
    )


def _entered(progress: Progress, state: TaskState, at: datetime) -> dict[str, Any]:
    """What holds of a state whatever else its fact says. A task that leaves its end was reopened: how it had ended holds no longer."""
    if state in ENDED:
        return {"ended_at": at, "kept": None, "budget": None}
    if not progress.ended:
        return {"budget": None}
    return {"ended_at": None, "kept": None, "failure": None, "reopened": True}


def _learn(view: View, fact: Fact, at: datetime) -> dict[str, Any]:  # noqa: PLR0911 - one line per fact
    match fact:
        case facts.TaskRunning() | facts.TaskPublishing():
            return _run_asked_for(view, fact)
        case facts.RunStarted():
            return _run(view, fact.run_id) | {"fence": max(view.fence, fact.fence), "started_at": view.started_at or at}
        case facts.RunFinished() | facts.RunFailed():
            return _run_ended(view, fact) | _without_environment(view, fact)
        case facts.WorkspacePrepared():
            return {"base_sha": fact.base_sha}
        case facts.TaskFailed() | facts.TaskTimedOut():
            return {"failure": fact.failure, "kept": fact.kept}
        case facts.TaskCancelled() | facts.WorkKept():
            return {"kept": fact.kept}
        case facts.WorkDiscarded():
            return {"kept": None}
        case facts.TaskSucceeded():
            return {"outcome": fact.outcome, "failure": None} | _known(commit_sha=fact.commit_sha)
        case facts.TaskAwaitingApproval():
            return {"tree_sha": fact.tree_sha}
        case _:
            return _learn_of_change(view, fact)


def _learn_of_change(view: View, fact: Fact) -> dict[str, Any]:
    match fact:
        case facts.ChangePrepared():
            change = Change(
                files=fact.files, additions=fact.additions, deletions=fact.deletions, protected_files=fact.protected_files
            )  # prepared again (after approval) it is no longer held
            return {"change": change, "patch": fact.patch, "changes": fact.changes, "base_sha": fact.base_sha, "tree_sha": fact.tree_sha}
        case facts.ChangeHeld():
            by_hand = view.reopened and fact.reason == "policy"
            held = view.change and view.change.model_copy(update={"held_reason": "by_hand" if by_hand else fact.reason})
            return {"tree_sha": fact.tree_sha} | _known(change=held)
        case facts.ChangePublished():
            free = view.change and view.change.model_copy(update={"held_reason": None})
            return {"commit_sha": fact.commit_sha, "tree_sha": fact.tree_sha} | _known(change=free)
        case facts.PullRequestOpened():
            return {"pull_request_number": fact.number}
        case facts.TaskAwaitingBudget() | facts.RunCheckpointed():
            return _learn_of_costs(view, fact)
        case _:
            return _learn_of_refusals(view, fact)


def _learn_of_refusals(view: View, fact: Fact) -> dict[str, Any]:
    if isinstance(fact, facts.EgressRefused):
        return {"refused": _counted(view.refused, fact)}
    return _learn_of_environment(fact)


def _learn_of_environment(fact: Fact) -> dict[str, Any]:
    match fact:
        case facts.EnvironmentStarted():
            return {"environment": EnvironmentPhase(state="setting_up")}
        case facts.EnvironmentPrepared():
            ready = EnvironmentPhase(state="ready", cached=fact.cached, size_bytes=fact.size_bytes, seconds=fact.seconds)
            return {"environment": ready}
        case _:
            return {}


def _without_environment(view: View, fact: facts.RunFinished | facts.RunFailed) -> dict[str, Any]:
    """A run that ends before its environment is there has failed in that phase."""
    begun = view.environment is not None and view.environment.state == "setting_up"
    by_name = isinstance(fact, facts.RunFailed) and fact.failure.code.startswith("setup_")
    return {"environment": EnvironmentPhase(state="failed")} if begun or by_name else {}


def _counted(refused: tuple[Refused, ...], fact: facts.EgressRefused) -> tuple[Refused, ...]:
    """In the order in which they were first told."""
    kinds = {(each.ecosystem, each.reason): each for each in refused}
    kind = (fact.ecosystem, fact.reason)
    told = kinds.get(kind) or Refused(ecosystem=fact.ecosystem, reason=fact.reason, times=0)
    return tuple((kinds | {kind: told.model_copy(update={"times": told.times + 1})}).values())


def _run(view: View, run_id: RunId) -> dict[str, Any]:
    return {"run_ids": view.run_ids if run_id in view.run_ids else (*view.run_ids, run_id)}


def _run_asked_for(view: View, fact: facts.TaskRunning | facts.TaskPublishing) -> dict[str, Any]:
    """The transcript of a run before this one is put aside: while it goes on, what is said is read from the stream."""
    if isinstance(fact, facts.TaskPublishing) or fact.run_id in view.run_ids:
        return _run(view, fact.run_id)
    earlier = (view.transcript,) if view.transcript is not None else ()
    anew = {
        "transcript": None,
        "earlier_transcripts": (*view.earlier_transcripts, *earlier),
        "begins_anew": fact.begins_anew,
        "environment": None,
    }
    return _run(view, fact.run_id) | anew


def _learn_of_costs(view: View, fact: facts.TaskAwaitingBudget | facts.RunCheckpointed) -> dict[str, Any]:
    if isinstance(fact, facts.RunCheckpointed):
        return _spent(view, fact)
    wait = fact.reached and BudgetWait(reached=fact.reached, spent_usd=fact.spent_usd, expires_at=fact.expires_at)
    return {"budget": wait}


def _spent(view: View, fact: facts.RunCheckpointed | facts.RunFinished | facts.RunFailed) -> dict[str, Any]:
    """What the attempts cost together; each counts once, whatever order they tell it in."""
    attempt = f"{fact.run_id}.{fact.fence}"
    before = view.usages.get(attempt, Usage())
    if fact.fence == 0 or fact.usage.requests < before.requests:
        return {}
    usages = {**view.usages, attempt: fact.usage}
    return {"usages": usages, "usage": _sum(usages.values())}


def _sum(usages: Iterable[Usage]) -> Usage:
    every = list(usages)
    return Usage(
        input_tokens=sum(each.input_tokens for each in every),
        output_tokens=sum(each.output_tokens for each in every),
        cost_usd=round(sum(each.cost_usd for each in every), 6),
        requests=sum(each.requests for each in every),
    )


def _run_ended(view: View, fact: facts.RunFinished | facts.RunFailed) -> dict[str, Any]:
    """The first end of the highest fence counts, as it does for the scheduler; a late one of an older attempt tells nothing."""
    if fact.fence < max(view.fence, view.ended_fence) or (fact.fence and fact.fence == view.ended_fence):
        return _spent(view, fact)
    return (
        _run(view, fact.run_id)
        | _spent(view, fact)
        | {"ended_fence": fact.fence, "fence": fact.fence, "out_last": max(view.out_last, fact.out_last)}
        | _known(transcript=fact.transcript, tree_sha=fact.tree_sha, base_sha=fact.base_sha)
    )


def _known(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
