from collections.abc import Callable
from datetime import timedelta

import pytest

from services.scheduler.deadlines import Rules
from services.scheduler.decision import DeadlinePassed, SlotFree
from services.scheduler.transitions import EARLIER_FAILED, NOT_AWAITED, OTHER_RUN, STALE_FENCE
from shared.events import commands, facts
from shared.events.ids import RunId, fresh
from shared.events.values import BlobClass, Ecosystem, Fate, Outcome, PublishPolicy, Purpose, TaskState
from tests.unit.services.scheduler.life import Life, awaiting_approval, preparing, publishing, running, started
from tests.unit.services.scheduler.messages import COMMIT, OTHER_TREE, TREE, Script, blob


def test_a_whole_life_says_each_state_once_and_sends_each_command_once() -> None:
    life = publishing()
    life.hear(life.script.change_prepared(life.step), life.script.published(life.step))
    assert life.told == [
        "task.queued.v1",
        "task.preparing.v1",
        "git.prepare.v1",
        "task.running.v1",
        "runner.start.v1",
        "task.publishing.v1",
        "git.publish.v1",
        "task.succeeded.v1",
    ]
    assert life.said[-1].data == facts.TaskSucceeded(outcome=Outcome.PUBLISHED, commit_sha=COMMIT)
    assert [fate.fate for fate in life.fates] == [Fate.FINISHED]


def test_commands_carry_what_the_service_needs_and_the_credential_it_can_open() -> None:
    life = publishing()
    prepare, start, publish = (message.data for message in life.said if message.data.KIND == "cmd")
    assert isinstance(prepare, commands.GitPrepare)
    assert isinstance(start, commands.RunnerStart)
    assert isinstance(publish, commands.GitPublish)
    assert prepare.credential is not None
    assert prepare.credential.purpose is Purpose.GIT_TOKEN
    assert start.credential is not None
    assert start.credential.purpose is Purpose.MODEL_KEY
    assert start.packages == (Ecosystem.PIP,)
    assert (start.run_id, publish.run_id, publish.fence) == (life.script.run, life.script.run, 7)
    assert (publish.tree_sha, publish.approved) == (TREE, False)


def test_an_unchanged_tree_ends_well_without_a_push() -> None:
    life = started()
    life.hear(life.script.finished(life.step, 7, changed=False))
    assert life.state is TaskState.SUCCEEDED
    assert life.said[-1].data == facts.TaskSucceeded(outcome=Outcome.NO_CHANGES)
    assert "git.publish.v1" not in life.told


def test_a_message_for_another_owner_is_ignored() -> None:
    life = preparing()
    stranger = Script(Script.fresh().owner, life.script.task)
    assert life.hear(stranger.cancel()).reason == "it names another task or owner"
    assert life.state is TaskState.PREPARING


def test_an_answer_to_a_command_that_was_never_sent_is_ignored() -> None:
    life = preparing()
    assert life.hear(life.script.prepared(fresh())).reason == NOT_AWAITED
    assert life.hear(life.script.prepare_failed(None)).reason == NOT_AWAITED


def test_a_late_deadline_sends_again_under_a_fresh_id_then_fails() -> None:
    life = preparing(rules=Rules(prepare_sends=2))
    first = life.step
    assert life.hear(DeadlinePassed()).reason == "the deadline was moved"
    life.pass_seconds(600).hear(DeadlinePassed())
    second = life.step
    assert second not in (None, first)
    assert life.told[-1] == "git.prepare.v1"
    life.pass_seconds(600).hear(DeadlinePassed())
    failed = life.said[-1].data
    assert isinstance(failed, facts.TaskFailed)
    assert failed.failure.code == "step_time"


def test_the_good_news_of_an_earlier_try_counts_and_its_bad_news_does_not() -> None:
    life = preparing()
    first = life.step
    life.pass_seconds(600).hear(DeadlinePassed())
    assert life.hear(life.script.prepare_failed(first)).reason == EARLIER_FAILED
    assert life.hear(life.script.prepared(first)).state is TaskState.RUNNING


def test_a_run_that_no_runner_takes_is_sent_again_and_then_fails_for_want_of_a_runner() -> None:
    life = running(rules=Rules(start_seconds=100, start_sends=2))
    life.pass_seconds(100).hear(DeadlinePassed())
    assert life.told[-1] == "runner.start.v1"
    life.pass_seconds(100).hear(DeadlinePassed())
    failed = life.said[-1].data
    assert isinstance(failed, facts.TaskFailed)
    assert failed.failure.code == "no_runner"
    assert [fate.fate for fate in life.fates] == [Fate.INTERRUPTED]


def test_a_started_run_has_its_own_wall_limit_and_the_slack() -> None:
    life = started()
    assert life.task is not None
    assert life.task.deadline_at == life.now + timedelta(seconds=600 + life.rules.run_slack_seconds)


def test_a_higher_fence_is_another_attempt_and_too_many_are_a_lost_runner() -> None:
    life = started(fence=1, rules=Rules(max_attempts=2))
    life.hear(life.script.started(life.step, 5))
    assert life.task is not None
    assert (life.task.fence, life.task.attempts, life.state) == (5, 2, TaskState.RUNNING)
    assert life.hear(life.script.started(life.step, 3)).reason == STALE_FENCE
    life.hear(life.script.started(life.step, 9))
    assert life.state is TaskState.FAILED
    assert [fate.fate for fate in life.fates] == [Fate.INTERRUPTED]


def test_a_run_is_sent_again_with_its_newest_checkpoint() -> None:
    life = started(fence=7)
    life.hear(life.script.checkpointed(life.step, 7, "2", after_seconds=2))
    assert life.hear(life.script.checkpointed(life.step, 7, "1", after_seconds=1)).reason == "a newer checkpoint is known"
    assert life.hear(life.script.checkpointed(life.step, 6, "3", after_seconds=3)).reason == STALE_FENCE
    assert life.hear(life.script.checkpointed(life.step, 7, "4", after_seconds=4, run=RunId(fresh()))).reason == OTHER_RUN
    life.hear(life.script.lost(life.step, "runner.start.v1"))
    again = life.said[-1].data
    assert isinstance(again, commands.RunnerStart)
    assert again.resume == blob(BlobClass.CHECKPOINT, "2")


def test_the_first_finished_of_the_highest_fence_counts() -> None:
    life = started(fence=7)
    assert life.hear(life.script.finished(life.step, 6)).reason == STALE_FENCE
    assert life.hear(life.script.run_failed(life.step, 6)).reason == STALE_FENCE
    assert life.hear(life.script.finished(life.step, 7, run=RunId(fresh()))).reason == OTHER_RUN
    life.hear(life.script.finished(life.step, 8), life.script.finished(life.step, 9))
    publish = life.said[-1].data
    assert isinstance(publish, commands.GitPublish)
    assert publish.fence == 8


def test_a_refused_start_fails_the_task_until_an_attempt_has_begun() -> None:
    life = running()
    life.hear(life.script.run_failed(life.step, 0, "unknown_agent"))
    assert life.state is TaskState.FAILED
    life = started()
    assert life.hear(life.script.run_failed(life.step, 0, "image_missing")).reason == STALE_FENCE


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("agent_exit", TaskState.FAILED),
        ("wall_time", TaskState.TIMED_OUT),
        ("idle_time", TaskState.TIMED_OUT),
        ("cancelled", TaskState.CANCELLED),
    ],
)
def test_how_a_run_fails_decides_how_the_task_ends(code: str, state: TaskState) -> None:
    life = started()
    assert life.hear(life.script.run_failed(life.step, 7, code)).state is state


def test_a_result_on_another_base_is_never_published() -> None:
    life = started()
    life.hear(life.script.finished(life.step, 7, base=OTHER_TREE))
    failed = life.said[-1].data
    assert isinstance(failed, facts.TaskFailed)
    assert failed.failure.code == "tree_mismatch"


def test_a_push_of_another_tree_fails_loudly() -> None:
    life = publishing()
    assert life.hear(life.script.published(life.step, tree=OTHER_TREE)).state is TaskState.FAILED


def test_an_approval_lets_the_held_tree_be_pushed_once() -> None:
    life = awaiting_approval()
    assert life.state is TaskState.AWAITING_APPROVAL
    assert life.hear(life.script.approve(OTHER_TREE)).reason == "it approves another tree than the one held"
    life.hear(life.script.approve(), life.script.approve())
    pushes = [message.data for message in life.said if isinstance(message.data, commands.GitPublish)]
    assert [push.approved for push in pushes] == [False, True]
    life.hear(life.script.published(life.step))
    assert life.state is TaskState.SUCCEEDED
    assert len(life.fates) == 1


def test_a_second_hold_of_an_earlier_try_does_not_answer_the_approved_push() -> None:
    life = publishing()
    first = life.step
    life.pass_seconds(600).hear(DeadlinePassed())
    second = life.step
    life.hear(life.script.held(first), life.script.approve())
    assert life.hear(life.script.held(second)).reason == NOT_AWAITED
    assert life.state is TaskState.PUBLISHING


def test_an_approved_push_holds_no_slot() -> None:
    life = awaiting_approval()
    assert life.task is not None
    assert not life.task.holds_slot
    life.hear(life.script.approve())
    assert not life.task.holds_slot


def test_held_in_spite_of_an_approval_waits_for_a_person_again() -> None:
    life = awaiting_approval()
    approval = life.script.approve()
    life.hear(approval)
    life.hear(life.script.held(life.step))
    assert life.state is TaskState.AWAITING_APPROVAL
    assert life.task is not None
    assert not life.task.approved
    assert life.hear(approval).reason == "this approval has counted"


def test_a_rejected_change_is_cancelled_and_an_undecided_one_times_out() -> None:
    life = awaiting_approval()
    assert life.hear(life.script.reject()).state is TaskState.CANCELLED
    life = awaiting_approval()
    assert life.pass_seconds(life.rules.approval_seconds).hear(DeadlinePassed()).state is TaskState.TIMED_OUT


def test_a_cancel_that_overtakes_its_submit_meets_it() -> None:
    life = Life()
    life.hear(life.script.cancel())
    assert life.told == []
    life.hear(life.script.submit())
    assert life.told == ["task.cancelled.v1"]


def test_a_cancel_whose_submit_never_comes_ends_too() -> None:
    life = Life()
    life.hear(life.script.cancel()).pass_seconds(life.rules.tombstone_seconds).hear(DeadlinePassed())
    assert life.told == ["task.cancelled.v1"]
    assert life.hear(life.script.submit()).state is TaskState.CANCELLED


def test_a_lost_submit_fails_its_task_and_other_lost_commands_of_ours_do_not() -> None:
    life = Life()
    assert life.hear(life.script.lost(None, "scheduler.cancel.v1")).state is None
    assert life.hear(life.script.lost(None, "scheduler.submit", "invalid")).state is TaskState.FAILED


@pytest.mark.parametrize("life", [preparing, running, awaiting_approval])
def test_a_cancel_with_nothing_to_wait_for_ends_at_once(life: Callable[[], Life]) -> None:
    task = life()
    assert task.hear(task.script.cancel()).state is TaskState.CANCELLED


def test_a_cancelled_run_is_told_by_its_fate_and_ends_when_it_says_so() -> None:
    life = started()
    life.hear(life.script.cancel(), life.script.cancel())
    assert life.state is TaskState.RUNNING
    assert [fate.fate for fate in life.fates] == [Fate.CANCELLED]
    life.hear(life.script.run_failed(life.step, 7, "cancelled"))
    assert life.state is TaskState.CANCELLED
    assert len(life.fates) == 1


def test_a_cancelled_run_that_says_nothing_or_finishes_first_is_cancelled_too() -> None:
    life = started()
    life.hear(life.script.cancel(), life.script.started(life.step, 8)).pass_seconds(life.rules.cancel_seconds)
    assert life.hear(DeadlinePassed()).state is TaskState.CANCELLED
    life = started()
    life.hear(life.script.cancel(), life.script.finished(life.step, 7))
    assert life.state is TaskState.CANCELLED
    assert "git.publish.v1" not in life.told


def test_a_push_that_wins_against_a_cancel_is_a_success() -> None:
    life = publishing()
    life.hear(life.script.cancel(), life.script.published(life.step))
    assert life.state is TaskState.SUCCEEDED


def test_a_push_that_loses_against_a_cancel_is_not_sent_again() -> None:
    for answer in ("held", "change_failed"):
        life = publishing()
        life.hear(life.script.cancel())
        life.hear(getattr(life.script, answer)(life.step))
        assert life.state is TaskState.CANCELLED
    life = publishing()
    life.hear(life.script.cancel()).pass_seconds(600).hear(DeadlinePassed())
    assert life.state is TaskState.CANCELLED
    assert life.told.count("git.publish.v1") == 1


def test_a_dead_lettered_command_is_sent_again_unless_it_was_refused() -> None:
    life = preparing()
    first = life.step
    life.hear(life.script.lost(first, "git.prepare.v1", "max_deliveries"))
    assert life.told.count("git.prepare.v1") == 2
    assert life.hear(life.script.lost(first, "git.prepare.v1")).reason == EARLIER_FAILED
    assert life.hear(life.script.lost(life.step, "runner.start.v1")).reason == NOT_AWAITED
    life.hear(life.script.lost(None, "git.prepare", "invalid"))
    failed = life.said[-1].data
    assert isinstance(failed, facts.TaskFailed)
    assert failed.failure.code == "internal"


def test_sending_a_started_run_again_takes_no_time_from_the_attempt() -> None:
    life = running(rules=Rules(start_seconds=10))
    life.hear(life.script.started(life.step, 3))
    assert life.task is not None
    deadline = life.task.deadline_at
    life.hear(life.script.lost(life.step, "runner.start.v1"))
    assert life.told.count("runner.start.v1") == 2
    assert life.task.deadline_at == deadline


def test_the_policy_travels_to_git() -> None:
    life = running(PublishPolicy.ASK)
    life.hear(life.script.finished(life.step))
    publish = life.said[-1].data
    assert isinstance(publish, commands.GitPublish)
    assert publish.publish_policy is PublishPolicy.ASK


def test_a_queued_task_waits_for_a_slot_alone() -> None:
    life = Life()
    life.hear(life.script.submit())
    assert life.hear(DeadlinePassed()).reason == "a queued task has no deadline"
    assert life.hear(SlotFree()).state is TaskState.PREPARING
    assert life.hear(SlotFree()).reason == "only a queued task takes a slot"
