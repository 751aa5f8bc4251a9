"""A task that reaches a budget waits for a person with its work kept, and goes on for what it may cost in all less what it has."""

import pytest

from services.scheduler.decision import BudgetChanged, DeadlinePassed, SlotFree
from services.scheduler.purse import Flow, Purse, Room
from shared.events import commands, facts
from shared.events.ids import EventId, ProjectId, fresh
from shared.events.values import Budget, BudgetReached, Fate, TaskState
from tests.unit.services.scheduler.life import Life, started, stopped_at_budget
from tests.unit.services.scheduler.messages import TREE


def _starts(life: Life) -> list[commands.RunnerStart]:
    return [message.data for message in life.said if isinstance(message.data, commands.RunnerStart)]


def _asked(life: Life) -> facts.TaskAwaitingBudget:
    asked = next(message.data for message in reversed(life.said) if isinstance(message.data, facts.TaskAwaitingBudget))
    assert isinstance(asked, facts.TaskAwaitingBudget)
    return asked


def test_a_run_that_is_stopped_at_its_limit_asks_and_keeps_its_work_and_no_slot() -> None:
    life = stopped_at_budget()
    assert life.task is not None
    assert (life.state, life.task.holds_slot, life.task.promised_usd) == (TaskState.AWAITING_BUDGET, False, 0.0)
    asked = _asked(life)
    assert asked.reached == BudgetReached(budget=Budget.RUN, limit_usd=10.0, spent_usd=10.02)
    assert asked.spent_usd == 10.02
    assert asked.expires_at == life.task.deadline_at
    assert asked.kept is not None
    assert asked.kept.tree_sha == TREE
    assert [fate.fate for fate in life.fates] == [Fate.FINISHED], "nobody runs that run again"


def test_a_raise_lets_another_run_go_on_for_the_whole_less_what_is_spent() -> None:
    life = stopped_at_budget()
    life.hear(life.script.raise_budget(15.0))
    assert life.state is TaskState.QUEUED
    life.hear(SlotFree())
    first, second = _starts(life)
    assert (second.run_id, second.limits.max_cost_usd) == (life.script.run_number(2), 4.98)
    assert first.limits.model_copy(update={"max_cost_usd": 4.98}) == second.limits
    assert life.told.count("git.prepare.v1") == 1, "the snapshot is there"


def test_the_run_goes_on_from_the_last_checkpoint_also_where_that_is_heard_after_the_run_s_end() -> None:
    life = stopped_at_budget()
    late = life.script.checkpointed(None, 7, "3", usd=10.0)
    life.hear(late, life.script.raise_budget(15.0), SlotFree())
    resume = _starts(life)[1].resume
    assert resume is not None
    assert resume.sha256 == "3" * 64
    running = next(message.data for message in reversed(life.said) if isinstance(message.data, facts.TaskRunning))
    assert running.begins_anew is False


def test_where_nothing_is_left_to_go_on_from_it_begins_anew_and_says_so() -> None:
    life = stopped_at_budget()
    life.hear(life.script.raise_budget(15.0), SlotFree())
    assert _starts(life)[1].resume is None
    assert facts.TaskRunning(run_id=life.script.run_number(2), begins_anew=True) in [message.data for message in life.said]


def test_work_of_the_second_run_is_published_in_place_of_the_first_s() -> None:
    life = stopped_at_budget()
    run = life.script.run_number(2)
    life.hear(life.script.raise_budget(15.0), SlotFree())
    life.hear(life.script.started(life.step, 9, run), life.script.finished(life.step, 9, run=run, usd=1.5))
    publish = life.said[-1].data
    assert isinstance(publish, commands.GitPublish)
    assert (publish.run_id, publish.fence) == (run, 9)
    assert life.task is not None
    assert life.task.spent_usd == 11.52
    assert [(fate.run_id, fate.fate) for fate in life.fates] == [(life.script.run, Fate.FINISHED), (run, Fate.FINISHED)]


def test_what_the_first_run_made_is_still_kept_where_the_second_never_began() -> None:
    life = stopped_at_budget()
    life.hear(life.script.raise_budget(15.0), SlotFree())
    life.hear(life.script.lost(life.step, "runner.start.v1", "refused"))
    assert life.state is TaskState.FAILED
    life.hear(life.script.publish())
    publish = life.said[-1].data
    assert isinstance(publish, commands.GitPublish)
    assert (publish.run_id, publish.fence) == (life.script.run, 7)
    assert life.hear(life.script.published(life.step)).state is TaskState.SUCCEEDED


def test_attempts_add_up_and_none_counts_twice() -> None:
    life = started(fence=3)
    told = life.script.checkpointed(life.step, 3, usd=1.25)
    life.hear(told, told, life.script.checkpointed(life.step, 3, usd=0.5))
    life.hear(life.script.started(life.step, 5), life.script.checkpointed(life.step, 5, usd=0.1))
    life.hear(life.script.checkpointed(life.step, 3, usd=2.0))
    assert life.task is not None
    assert (life.task.spent_usd, life.task.promised_usd) == (2.1, 7.9)


@pytest.mark.parametrize("usd", [None, 10.02, 4.0])
def test_what_raises_nothing_is_ignored(usd: float | None) -> None:
    life = stopped_at_budget()
    assert life.hear(life.script.raise_budget(usd)).reason in {"it raises nothing", "it is not more than what is spent"}
    assert life.state is TaskState.AWAITING_BUDGET


def test_two_raises_do_one_thing() -> None:
    life = stopped_at_budget()
    one, other = life.script.raise_budget(15.0), life.script.raise_budget(20.0)
    life.hear(one)
    assert life.hear(other).reason == life.hear(one).reason == "it waits for no budget"
    life.hear(SlotFree())
    assert len(_starts(life)) == 2
    life.hear(life.script.run_failed(life.step, 9, "budget_exceeded", run=life.script.run_number(2), usd=5.0))
    assert life.hear(one).reason == "this raise has counted"


@pytest.mark.parametrize(
    ("end", "state"), [("cancel", TaskState.CANCELLED), ("reject", TaskState.FAILED), ("the deadline", TaskState.FAILED)]
)
def test_it_ends_when_nobody_raises_it_and_its_work_is_kept(end: str, state: TaskState) -> None:
    life = stopped_at_budget()
    life.pass_seconds(life.rules.budget_seconds)
    life.hear({"cancel": life.script.cancel(), "reject": life.script.reject()}.get(end, DeadlinePassed()))
    ended = life.said[-1].data
    assert life.state is state
    assert isinstance(ended, facts.TaskFailed | facts.TaskCancelled)
    assert ended.kept is not None
    if isinstance(ended, facts.TaskFailed):
        assert ended.failure.code == "budget_exceeded"


def test_a_cancelled_run_does_not_ask() -> None:
    life = started()
    life.hear(life.script.cancel(), life.script.run_failed(life.step, 7, "budget_exceeded", made=True))
    assert life.state is TaskState.CANCELLED


def test_the_task_s_own_budget_bounds_its_run() -> None:
    life = Life()
    life.hear(life.script.submit(max_cost_usd=4.0), SlotFree())
    life.hear(life.script.prepared(life.step))
    assert _starts(life)[0].limits.max_cost_usd == 4.0


def test_a_month_s_budget_leaves_a_run_its_share_and_more_once_others_have_left_it() -> None:
    life = Life()
    life.hear(life.script.submit(), SlotFree((Room(Budget.PROJECT, 20.0, 10.0, 7.0),)))
    life.hear(life.script.prepared(life.step))
    assert _starts(life)[0].limits.max_cost_usd == 3.0
    life.hear(life.script.started(life.step, 7), life.script.run_failed(life.step, 7, "budget_exceeded", made=True, usd=3.01))
    assert life.state is TaskState.QUEUED, "the runs that were promised the rest may leave some of it"
    assert (
        life.hear(SlotFree((Room(Budget.PROJECT, 20.0, 13.01, 6.99),))).reason
        == "what is left of a month's budget is promised to other runs"
    )
    life.hear(SlotFree((Room(Budget.PROJECT, 20.0, 14.0),)))
    assert _starts(life)[1].limits.max_cost_usd == 6.0


def test_a_month_s_budget_that_is_used_up_is_asked_about_before_a_run() -> None:
    life = Life()
    life.hear(life.script.submit(), SlotFree((Room(Budget.USER, 20.0, 20.01),)))
    assert _asked(life).reached == BudgetReached(budget=Budget.USER, limit_usd=20.0, spent_usd=20.01)
    command = EventId(fresh())
    assert life.hear(BudgetChanged(command)).state is TaskState.QUEUED
    life.hear(SlotFree((Room(Budget.USER, 20.0, 20.01),)))
    assert life.hear(BudgetChanged(command)).reason == "this budget has counted"
    assert life.hear(life.script.raise_budget()).state is TaskState.QUEUED, "in the next month, say"
    assert len({message.id for message in life.said}) == len(life.said)


def test_a_month_s_budget_does_not_move_a_task_that_waits_for_its_own() -> None:
    life = stopped_at_budget()
    assert life.hear(BudgetChanged(EventId(fresh()))).reason == "it waits for another budget"


def test_a_purse_promises_nothing_twice() -> None:
    one, other = ProjectId(fresh()), ProjectId(fresh())
    purse = Purse(user_usd=20.0, projects_usd={one: 5.0}, flows={one: Flow(1.0, 2.0), other: Flow(4.0)})
    assert purse.rooms(other) == (Room(Budget.USER, 20.0, 5.0, 2.0),)
    assert [room.left_usd for room in purse.promising(one, 2.0).rooms(one)] == [0.0, 11.0]
