"""How the command line ends: one number for each thing a script may want to know."""

from enum import IntEnum

from shared.events.values import TaskState


class Exit(IntEnum):
    """Exit codes, the same for every command; `./async-code --help` lists them."""

    OK = 0
    FAILED = 1
    """Something went wrong that has no code of its own."""
    USAGE = 2
    UNREACHABLE = 3
    """The server is not there, or the stack is not running."""
    NOT_SIGNED_IN = 4
    NOT_FOUND = 5
    REFUSED = 6
    """The request was understood and refused; the message names the field and the rule."""
    TASK_FAILED = 10
    TASK_CANCELLED = 11
    TASK_TIMED_OUT = 12
    TASK_WAITS = 13
    """The task waits for a person: approve or reject its change."""


OF_STATE = {
    TaskState.SUCCEEDED: Exit.OK,
    TaskState.FAILED: Exit.TASK_FAILED,
    TaskState.CANCELLED: Exit.TASK_CANCELLED,
    TaskState.TIMED_OUT: Exit.TASK_TIMED_OUT,
    TaskState.AWAITING_APPROVAL: Exit.TASK_WAITS,
    TaskState.AWAITING_BUDGET: Exit.TASK_WAITS,
}


class CliError(Exception):
    """A command cannot go on. The text says what is wrong, the advice what to do."""

    def __init__(self, text: str, advice: str = "", code: Exit = Exit.FAILED) -> None:
        super().__init__(text)
        self.advice = advice
        self.code = code
