from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.tasks.view import STATES, BudgetWait, Progress, View, fold
from shared.events import catalogue, envelope, facts
from shared.events.failures import failure
from shared.events.ids import RunId, fresh
from shared.events.payload import Fact
from shared.events.values import ENDED, BlobClass, BlobRef, Budget, BudgetReached, Ecosystem, Kept, Outcome, TaskState, Usage

from .logs import AT, OWNER, RUN, TASK

TREE, BASE, COMMIT = "a" * 40, "b" * 40, "c" * 40
TRANSCRIPT, OTHER = (BlobRef(blob_class=BlobClass.TRANSCRIPT, sha256=digit * 64, size_bytes=1) for digit in "12")
PATCH, CHANGES = (BlobRef(blob_class=BlobClass.CHANGES, sha256=digit * 64, size_bytes=1) for digit in "34")


def finished(fence: int, transcript: BlobRef = TRANSCRIPT) -> facts.RunFinished:
    usage = Usage(cost_usd=float(fence))
    return facts.RunFinished(
        run_id=RUN, fence=fence, base_sha=BASE, tree_sha=TREE, transcript=transcript, out_last=9, usage=usage, started_at=AT, finished_at=AT
    )


def prepared() -> facts.ChangePrepared:
    counts = {"files": 2, "additions": 3, "deletions": 1, "protected_files": 1}
    return facts.ChangePrepared(run_id=RUN, base_sha=BASE, tree_sha=TREE, patch=PATCH, changes=CHANGES, **counts)


def told(*content: Fact, progress: Progress | None = None) -> Progress:
    known = progress or Progress()
    for number, fact in enumerate(content, start=known.evt_sequence + 1):
        known = fold(known, number, envelope.new(fact, source="scheduler", owner=OWNER, task=TASK, at=AT + timedelta(seconds=number)))
    return known


WHOLE: tuple[Fact, ...] = (
    facts.TaskQueued(),
    facts.TaskPreparing(),
    facts.WorkspacePrepared(base_sha=BASE, workspace=BlobRef(blob_class=BlobClass.WORKSPACE, sha256="5" * 64, size_bytes=1)),
    facts.TaskRunning(run_id=RUN),
    facts.RunStarted(run_id=RUN, fence=4, runner_id="r", image_digest="i"),
    finished(4),
    facts.TaskPublishing(run_id=RUN),
    prepared(),
    facts.ChangeHeld(run_id=RUN, tree_sha=TREE, reason="protected_paths"),
    facts.TaskAwaitingApproval(tree_sha=TREE),
    facts.TaskPublishing(run_id=RUN),
    prepared(),
    facts.ChangePublished(run_id=RUN, commit_sha=COMMIT, tree_sha=TREE),
    facts.TaskSucceeded(outcome=Outcome.PUBLISHED, commit_sha=COMMIT),
)


def test_a_whole_life_is_told() -> None:
    progress = told(*WHOLE)
    view = progress.view
    assert (progress.state, progress.ended, progress.evt_first, progress.evt_sequence) == (TaskState.SUCCEEDED, True, 1, len(WHOLE))
    assert (view.outcome, view.commit_sha, view.tree_sha, view.base_sha) == (Outcome.PUBLISHED, COMMIT, TREE, BASE)
    assert (view.patch, view.changes, view.transcript, view.run_ids, view.out_last) == (PATCH, CHANGES, TRANSCRIPT, (RUN,), 9)
    assert view.usage == Usage(cost_usd=4)
    assert view.change is not None
    assert (view.change.files, view.change.held_reason) == (2, None)
    assert (view.started_at, view.ended_at) == (AT + timedelta(seconds=5), AT + timedelta(seconds=len(WHOLE)))


def test_what_was_refused_is_counted_by_kind() -> None:
    def refused(reason: str, digit: str, ecosystem: Ecosystem | None = Ecosystem.PIP) -> facts.EgressRefused:
        return facts.EgressRefused(run_id=RUN, fence=4, reason=reason, request_digest=digit * 64, ecosystem=ecosystem)

    asked = (
        refused("path_denied", "1"),
        refused("token_wrong", "2", None),
        refused("path_denied", "3"),
        refused("path_denied", "4", Ecosystem.GO),
    )
    seen = [(each.ecosystem, each.reason, each.times) for each in told(*asked).view.refused]
    assert seen == [("pip", "path_denied", 2), (None, "token_wrong", 1), ("go", "path_denied", 1)]


def test_while_it_is_held_the_reason_is_shown() -> None:
    progress = told(*WHOLE[:10])
    assert progress.state is TaskState.AWAITING_APPROVAL
    assert progress.view.change is not None
    assert progress.view.change.held_reason == "protected_paths"


def test_every_task_fact_has_its_state() -> None:
    names = {kind.TYPE.split(".")[1] for kind in catalogue.TYPES.values() if kind.TYPE.startswith("task.")}
    assert {kind.TYPE.split(".")[1]: state for kind, state in STATES.items()} == {name: TaskState(name) for name in names}
    assert {STATES[kind] for kind in STATES} == set(TaskState) - {TaskState.SUBMITTED}


@pytest.mark.parametrize("fact", [facts.TaskFailed(failure=failure("internal")), facts.TaskTimedOut(failure=failure("wall_time"))])
def test_a_failure_is_shown(fact: facts.TaskFailed | facts.TaskTimedOut) -> None:
    progress = told(fact)
    assert progress.state in ENDED
    assert progress.view.failure == fact.failure


def test_the_first_end_of_the_highest_fence_counts() -> None:
    assert told(finished(4), finished(3, OTHER)).view.transcript == TRANSCRIPT
    assert told(finished(4), finished(4, OTHER)).view.transcript == TRANSCRIPT
    assert told(finished(4), finished(5, OTHER)).view.transcript == OTHER
    late = told(facts.RunStarted(run_id=RUN, fence=6, runner_id="r", image_digest="i"), finished(5))
    assert late.view.transcript is None


@given(st.lists(st.integers(0, len(WHOLE) - 1), max_size=60))
def test_what_is_delivered_again_changes_nothing(again: list[int]) -> None:
    """Any redelivery of what is known, in any order, between the facts in their order: the same row."""
    progress = Progress()
    repeats = iter(again)
    envelopes = [envelope.new(fact, source="git", owner=OWNER, task=TASK, at=AT + timedelta(seconds=n)) for n, fact in enumerate(WHOLE, 1)]
    for number, message in enumerate(envelopes, 1):
        progress = fold(progress, number, message)
        repeated = next(repeats, None)
        if repeated is not None and repeated < number:
            assert fold(progress, repeated + 1, envelopes[repeated]) is progress
    assert progress == told(*WHOLE)


def test_a_row_is_read_back_as_it_was_written() -> None:
    for known, following in pairwise(told(*WHOLE[:n]) for n in range(len(WHOLE) + 1)):
        assert View.model_validate_json(known.view.model_dump_json(exclude_defaults=True)) == known.view
        assert following.evt_sequence == known.evt_sequence + 1


def test_what_all_attempts_cost_is_their_sum_and_each_counts_once() -> None:
    second = finished(5).model_copy(update={"run_id": RunId(fresh())})
    assert told(finished(4), finished(4), finished(3, OTHER), second).view.usage == Usage(cost_usd=12)


def test_a_task_that_waits_for_a_budget_says_which_and_goes_on_with_another_run() -> None:
    reached = BudgetReached(budget=Budget.RUN, limit_usd=10, spent_usd=10.02)
    waiting = told(*WHOLE[:6], facts.TaskAwaitingBudget(reached=reached, spent_usd=10.02, expires_at=AT))
    assert waiting.view.budget == BudgetWait(reached=reached, spent_usd=10.02, expires_at=AT)
    again = told(facts.TaskQueued(), facts.TaskRunning(run_id=RunId(fresh()), begins_anew=True), progress=waiting).view
    assert (again.budget, again.begins_anew, again.transcript, again.earlier_transcripts) == (None, True, None, (TRANSCRIPT,))
    assert len(again.run_ids) == 2


KEPT = Kept(tree_sha=TREE, size_bytes=7, expires_at=AT)
FAILED = facts.TaskFailed(failure=failure("agent_exit"), kept=KEPT)


@pytest.mark.parametrize("end", [FAILED, facts.TaskTimedOut(failure=failure("wall_time"), kept=KEPT), facts.TaskCancelled(kept=KEPT)])
def test_what_is_kept_is_shown_until_it_is_discarded(end: Fact) -> None:
    assert told(end).view.kept == KEPT
    assert told(end, facts.WorkDiscarded(tree_sha=TREE)).view.kept is None
    assert told(facts.TaskCancelled(), facts.WorkKept(run_id=RUN, kept=KEPT)).view.kept == KEPT


def test_a_task_that_is_published_by_hand_has_not_ended_and_shows_no_failure() -> None:
    progress = told(FAILED, facts.TaskPublishing(run_id=RUN))
    assert (progress.ended, progress.view.failure, progress.view.ended_at, progress.view.kept) == (False, None, None, None)
    held = told(prepared(), facts.ChangeHeld(run_id=RUN, tree_sha=TREE, reason="policy"), progress=progress).view
    assert held.change is not None
    assert held.change.held_reason == "by_hand"
    back = told(facts.TaskAwaitingApproval(tree_sha=TREE), facts.TaskFailed(failure=failure("agent_exit")), progress=progress)
    assert (back.ended, back.view.failure, back.view.kept, back.view.reopened) == (True, failure("agent_exit"), None, True)
    assert told(*WHOLE).view.reopened is False
