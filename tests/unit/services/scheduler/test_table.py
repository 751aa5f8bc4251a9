from pathlib import Path

import pytest

from services.scheduler import states_page
from services.scheduler.decision import BudgetChanged, DeadlinePassed, SlotFree
from services.scheduler.table import KINDS, TABLE, decide
from services.scheduler.task import Task
from shared.events import commands, facts
from shared.events.envelope import NOBODY, AnyEnvelope, new
from shared.events.ids import fresh
from shared.events.values import TaskState
from tests.unit.services.scheduler.life import publishing
from tests.unit.services.scheduler.messages import NOW

PAGE = Path(__file__).parents[4] / "docs" / "states.md"


def test_the_table_answers_every_message_in_every_state() -> None:
    assert set(TABLE) == {None, *TaskState}
    assert all(set(row) == set(KINDS) for row in TABLE.values())


def test_the_table_knows_every_message_the_scheduler_consumes() -> None:
    """Its durables filter cmd.scheduler, evt.workspace, evt.run, evt.change and evt.command.dead_lettered."""
    families = ("scheduler.", "workspace.", "run.", "change.", "command.dead_lettered.")
    payloads = [*vars(commands).values(), *vars(facts).values()]
    consumed = {p for p in payloads if isinstance(p, type) and getattr(p, "TYPE", "").startswith(families)}
    assert consumed - {commands.SchedulerSetBudget} == set(KINDS) - {DeadlinePassed, SlotFree, BudgetChanged}


def test_the_page_of_states_is_made_from_the_table() -> None:
    assert PAGE.read_text() == states_page.render(), "run: python -m services.scheduler.states_page > docs/states.md"


@pytest.mark.parametrize(
    "message",
    [
        new(commands.SchedulerCancel(), source="gateway", owner=NOBODY, task=fresh()),
        new(commands.SchedulerCancel(), source="gateway", owner=fresh(), task=NOBODY),
    ],
)
def test_a_message_that_names_no_task_is_ignored(message: AnyEnvelope) -> None:
    assert decide(None, message, NOW).ignored == "it names no task"


def test_a_fact_the_scheduler_has_no_row_for_is_a_fault_of_the_wiring() -> None:
    with pytest.raises(KeyError):
        decide(None, new(facts.PullRequestOpened(number=1), source="git", owner=fresh(), task=fresh()), NOW)


def test_a_stored_task_is_read_by_a_version_that_knows_fewer_fields() -> None:
    task = publishing().task
    assert task is not None
    newer = task.to_json().replace("{", '{"a_field_of_tomorrow": 1, ', 1)
    assert Task.from_json(newer) == task
