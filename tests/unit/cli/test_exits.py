from typing import get_args

from cli.exits import OF_STATE, WAITING, Exit, State
from shared.events.values import ENDED, TaskState


def test_the_states_are_those_of_the_messages() -> None:
    assert get_args(State) == tuple(TaskState)


def test_a_watch_is_over_in_every_state_that_needs_nobody_or_a_person() -> None:
    assert set(OF_STATE) == {str(state) for state in ENDED} | WAITING
    assert [state for state, code in OF_STATE.items() if code == Exit.OK] == ["succeeded"]
