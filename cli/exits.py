"""How the command line ends: one number for each thing a script may want to know."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Literal

State = Literal[
    "submitted",
    "blocked",
    "queued",
    "preparing",
    "running",
    "publishing",
    "awaiting_approval",
    "awaiting_budget",
    "succeeded",
    "failed",
    "cancelled",
    "timed_out",
]
"""A task's states as the API names them. Written out, as the messages' own library would triple the time every command takes to start."""


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
    INTERRUPTED = 130
    """Ctrl-C: 128 and the signal's number, as shells count it."""


OF_STATE: Mapping[str, Exit] = {
    "succeeded": Exit.OK,
    "failed": Exit.TASK_FAILED,
    "cancelled": Exit.TASK_CANCELLED,
    "timed_out": Exit.TASK_TIMED_OUT,
    "awaiting_approval": Exit.TASK_WAITS,
    "awaiting_budget": Exit.TASK_WAITS,
}
"""The states in which a watch is over, and how it then ends."""
WAITING = frozenset({"awaiting_approval", "awaiting_budget"})
"""Those in which the task is not over, but a person's turn."""


class CliError(Exception):
    """A command cannot go on. The text says what is wrong, the advice what to do."""

    def __init__(self, text: str, advice: str = "", code: Exit = Exit.FAILED, *, problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(text)
        self.advice = advice
        self.code = code
        self.problem = dict(problem or {})
        """The problem document that the server answered with, if it did (RFC 9457)."""
