"""What a run made is kept when its task ends without publishing it, and what a person can do with it."""

import pytest

from services.scheduler.by_hand import NOTHING_KEPT
from services.scheduler.decision import DeadlinePassed
from services.scheduler.task import Task, known
from shared.events import commands, facts
from shared.events.failures import failure
from shared.events.ids import CredentialId, fresh
from shared.events.payload import Payload
from shared.events.values import CredentialRef, Kept, Outcome, PublishPolicy, Purpose, TaskState
from tests.unit.services.scheduler.life import Life, awaiting_approval, failed_with_work, publishing, reopened, started
from tests.unit.services.scheduler.messages import COMMIT, OTHER_TREE, TREE


def kept(life: Life) -> Kept | None:
    """What the last fact says is kept."""
    said: Payload = life.said[-1].data
    assert isinstance(said, facts.TaskFailed | facts.TaskCancelled | facts.TaskTimedOut)
    return said.kept


def pushes(life: Life) -> list[commands.GitPublish]:
    return [message.data for message in life.said if isinstance(message.data, commands.GitPublish)]


def ending(life: Life) -> str:
    """The last state and, where there is one, why."""
    said: Payload = life.said[-1].data
    return f"{life.state} {said.failure.code}" if isinstance(said, facts.TaskFailed | facts.TaskTimedOut) else str(life.state)


@pytest.mark.parametrize(
    ("code", "state"), [("agent_exit", TaskState.FAILED), ("idle_time", TaskState.TIMED_OUT), ("cancelled", TaskState.CANCELLED)]
)
def test_the_work_of_a_run_that_did_not_end_well_is_kept(code: str, state: TaskState) -> None:
    life = failed_with_work(code)
    assert life.state is state
    held = kept(life)
    assert held is not None
    assert (held.tree_sha, held.size_bytes, (held.expires_at - life.now).total_seconds()) == (TREE, 10, life.rules.kept_seconds)


def test_a_cancelled_run_that_finishes_keeps_its_work() -> None:
    life = started()
    life.hear(life.script.cancel(), life.script.finished(life.step, 7))
    assert life.state is TaskState.CANCELLED
    assert kept(life) is not None


def test_nothing_is_kept_where_nothing_was_made_or_from_another_base() -> None:
    life = started()
    assert kept(life.hear(life.script.run_failed(life.step, 7))) is None
    life = started()
    assert kept(life.hear(life.script.run_failed(life.step, 7, made=True, base=OTHER_TREE))) is None
    life = started()
    assert kept(life.hear(life.script.finished(life.step, 7, base=OTHER_TREE))) is None


def test_work_that_arrives_after_the_end_is_kept_and_says_so() -> None:
    life = started()
    life.hear(life.script.cancel()).pass_seconds(life.rules.cancel_seconds).hear(DeadlinePassed())
    assert kept(life) is None
    life.hear(life.script.run_failed(None, 7, "cancelled", made=True))
    assert isinstance(life.said[-1].data, facts.WorkKept)
    assert life.state is TaskState.CANCELLED
    assert life.hear(life.script.finished(None, 8)).reason == "it made nothing that is not kept or discarded already"
    assert life.hear(life.script.run_failed(None, 6, made=True)).reason == "it is about another run, or an older attempt"
    assert life.hear(life.script.publish()).state is TaskState.PUBLISHING


def test_a_publish_by_hand_asks_with_the_diff_and_is_pushed_when_it_is_approved() -> None:
    life = reopened()
    assert life.state is TaskState.AWAITING_APPROVAL
    assert (pushes(life)[-1].publish_policy, pushes(life)[-1].approved) == (PublishPolicy.ASK, False)
    life.hear(life.script.approve())
    assert pushes(life)[-1].approved
    life.hear(life.script.published(life.step))
    assert life.said[-1].data == facts.TaskSucceeded(outcome=Outcome.PUBLISHED, commit_sha=COMMIT)
    assert len(life.fates) == 1
    assert life.hear(life.script.publish()).reason == "the task has succeeded, which nothing undoes"


def test_it_holds_no_slot_and_forgets_that_a_cancel_was_asked_for() -> None:
    life = started()
    life.hear(life.script.cancel(), life.script.finished(life.step, 7), life.script.publish())
    assert life.task is not None
    assert (life.state, life.task.holds_slot, life.task.cancel_requested) == (TaskState.PUBLISHING, False, False)


def test_naming_the_tree_of_a_stored_diff_approves_it() -> None:
    life = publishing()
    life.hear(life.script.change_prepared(life.step), life.script.change_failed(life.step, "branch_taken"))
    assert ending(life) == "failed branch_taken"
    life.hear(life.script.publish(TREE))
    assert pushes(life)[-1].approved
    assert life.hear(life.script.published(life.step)).state is TaskState.SUCCEEDED


def test_naming_a_tree_that_nobody_can_have_seen_only_asks() -> None:
    life = failed_with_work()
    life.hear(life.script.publish(TREE))
    assert not pushes(life)[-1].approved
    life = failed_with_work()
    assert life.hear(life.script.change_prepared(None, OTHER_TREE)).reason == "it shows another tree than the one made"
    assert life.hear(life.script.publish(OTHER_TREE)).reason == "it names another tree than the one kept"
    assert life.state is TaskState.FAILED


def test_a_diff_that_was_stored_after_the_end_has_been_seen() -> None:
    life = failed_with_work()
    life.hear(life.script.change_prepared(None), life.script.publish(TREE))
    assert pushes(life)[-1].approved


@pytest.mark.parametrize("code", ["agent_exit", "idle_time", "cancelled"])
def test_a_rejected_one_ends_as_it_had_ended_and_is_discarded(code: str) -> None:
    former = ending(failed_with_work(code))
    life = reopened(code)
    assert ending(life.hear(life.script.reject())) == former
    assert kept(life) is None
    assert life.hear(life.script.publish()).reason == NOTHING_KEPT


@pytest.mark.parametrize("code", ["agent_exit", "idle_time", "cancelled"])
def test_a_cancelled_or_forgotten_one_ends_as_it_had_ended_and_is_still_kept(code: str) -> None:
    former = ending(failed_with_work(code))
    life = reopened(code)
    assert ending(life.hear(life.script.cancel())) == former
    assert kept(life) is not None
    life = reopened(code)
    life.pass_seconds(life.rules.approval_seconds).hear(DeadlinePassed())
    assert ending(life) == former
    assert life.hear(life.script.publish()).state is TaskState.PUBLISHING


def test_nobody_waits_for_a_decision_longer_than_the_work_is_kept() -> None:
    life = failed_with_work()
    life.pass_seconds(life.rules.kept_seconds - 60).hear(life.script.publish())
    life.hear(life.script.held(life.step))
    life.pass_seconds(60).hear(DeadlinePassed())
    assert ending(life) == "failed agent_exit"
    assert life.hear(life.script.publish()).reason == NOTHING_KEPT


def test_a_push_that_fails_is_the_new_end_and_the_work_is_still_kept() -> None:
    life = failed_with_work("cancelled")
    life.hear(life.script.publish())
    assert ending(life.hear(life.script.change_failed(life.step, "push_auth"))) == "failed push_auth"
    assert kept(life) is not None
    life.hear(life.script.publish())
    life.hear(life.script.held(life.step), life.script.reject())
    assert ending(life) == "failed push_auth"


def test_work_that_is_no_longer_stored_is_not_kept() -> None:
    life = failed_with_work()
    life.hear(life.script.publish())
    assert ending(life.hear(life.script.change_failed(life.step, "blob_missing"))) == "failed blob_missing"
    assert kept(life) is None
    assert life.hear(life.script.run_failed(None, 7, made=True)).reason == "it made nothing that is not kept or discarded already"


def test_a_push_by_hand_that_wins_against_its_cancel_is_a_success() -> None:
    life = reopened()
    life.hear(life.script.approve(), life.script.cancel(), life.script.published(life.step))
    assert life.state is TaskState.SUCCEEDED
    for answer in ("held", "change_failed"):
        life = failed_with_work()
        life.hear(life.script.publish(), life.script.cancel())
        life.hear(getattr(life.script, answer)(life.step))
        assert ending(life) == "failed agent_exit"
    life = failed_with_work()
    life.hear(life.script.publish(), life.script.cancel()).pass_seconds(600).hear(DeadlinePassed())
    assert ending(life) == "failed agent_exit"
    assert len(pushes(life)) == 1


def test_what_is_discarded_cannot_be_published() -> None:
    life = failed_with_work()
    life.hear(life.script.discard())
    assert life.said[-1].data == facts.WorkDiscarded(tree_sha=TREE)
    assert life.state is TaskState.FAILED
    assert life.hear(life.script.publish()).reason == NOTHING_KEPT
    assert life.hear(life.script.discard()).reason == NOTHING_KEPT
    assert life.hear(life.script.run_failed(None, 9, made=True)).reason == "it made nothing that is not kept or discarded already"


def test_a_publish_that_comes_first_wins_against_a_discard() -> None:
    life = failed_with_work()
    life.hear(life.script.publish())
    assert life.hear(life.script.discard()).reason == "the task has not ended"
    assert life.state is TaskState.PUBLISHING


def test_the_same_publish_reopens_once_and_two_of_them_are_one() -> None:
    life = failed_with_work()
    publish = life.script.publish()
    life.hear(publish)
    assert life.hear(publish).reason == "the task has not ended"
    assert life.hear(life.script.publish()).reason == "the task has not ended"
    life.hear(life.script.change_failed(life.step, "push_unreachable"))
    assert life.hear(publish).reason == "this publish has counted"
    assert len(pushes(life)) == 1


def test_a_rejected_change_is_discarded_and_one_put_aside_by_a_cancel_is_not() -> None:
    life = awaiting_approval()
    assert kept(life.hear(life.script.reject())) is None
    life = awaiting_approval()
    assert kept(life.hear(life.script.cancel())) is not None


def test_a_publish_by_hand_pushes_with_the_token_it_names_from_then_on() -> None:
    token = CredentialRef(credential_id=CredentialId(fresh()), version=1, purpose=Purpose.GIT_TOKEN)
    life = failed_with_work()
    life.hear(life.script.publish(credential=token))
    assert pushes(life)[-1].credential == token
    life.hear(life.script.change_failed(life.step), life.script.publish())
    assert pushes(life)[-1].credential == token


def test_a_push_by_hand_without_an_answer_is_sent_again_then_fails_with_the_work_kept() -> None:
    life = failed_with_work()
    life.hear(life.script.publish())
    for _ in range(life.rules.publish_sends):
        life.pass_seconds(life.rules.publish_seconds).hear(DeadlinePassed())
    assert ending(life) == "failed step_time"
    assert len({message.id for message in life.said}) == len(life.said)
    assert kept(life) is not None


def test_an_end_whose_reason_is_not_stored_is_told_as_internal() -> None:
    """A row of the version before: it has work from a refused push, and no reason."""
    life = reopened()
    task = known(life.task)
    life.task = Task.model_validate({**dict(task), "former": {"state": "failed"}})
    life.hear(life.script.cancel())
    assert isinstance(life.said[-1].data, facts.TaskFailed)
    assert life.said[-1].data.failure == failure("internal")
