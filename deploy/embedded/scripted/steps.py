"""What a scripted model does: says, calls tools, or fails as real APIs do. Pure; which step is next follows from the conversation alone.

A step does not know the vendor: `Run`, `Read` and `Edit` become calls of whatever tools the agent offers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Say:
    """The model says this and ends its turn."""

    text: str


@dataclass(frozen=True)
class Call:
    """The model says `text` and calls a tool by the agent's own name for it."""

    tool: str
    input: dict[str, Any]
    text: str = ""


@dataclass(frozen=True)
class Run:
    """The model says `text` and has the agent run a shell command."""

    command: str
    text: str = ""


@dataclass(frozen=True)
class Read:
    """The model says `text` and has the agent read a file."""

    path: str
    text: str = ""


@dataclass(frozen=True)
class Edit:
    """The model says `text` and has the agent put `after` in the place of `before`: whole lines, without the last line's end.

    Some agents edit only what they have read: put a `Read` before it.
    """

    path: str
    before: str
    after: str
    text: str = ""


@dataclass(frozen=True)
class Fail:
    """The API answers with an error instead: for ever, or `times` in each conversation before it goes on."""

    status: int
    kind: str = "api_error"
    headers: dict[str, str] = field(default_factory=dict[str, str])
    times: int | None = None


@dataclass(frozen=True)
class FailWithin:
    """The next step's answer begins well, and in its middle says that it failed: `kind` is the vendor's own name for why."""

    kind: str
    times: int | None = None


@dataclass(frozen=True)
class Cut:
    """The next step's answer breaks off in its middle, with the connection."""

    times: int | None = None


@dataclass(frozen=True)
class Hang:
    """The next step's answer begins, `after` events long, and then nothing comes; the connection stays. With 0 it does not even begin."""

    after: int = 1
    times: int | None = None


@dataclass(frozen=True)
class Redirect:
    """The API answers with a redirect, which must lead nobody anywhere."""

    location: str
    times: int | None = None


@dataclass(frozen=True)
class Garble:
    """Something else answers, and says that all is well: a sign-in page, a proxy's own words."""

    content_type: str
    body: bytes
    times: int | None = None


@dataclass(frozen=True)
class Drop:
    """The connection ends before there is an answer."""

    times: int | None = None


Work: TypeAlias = Say | Call | Run | Read | Edit
Fault: TypeAlias = Fail | FailWithin | Cut | Hang | Redirect | Garble | Drop
Step: TypeAlias = Work | Fault
Script: TypeAlias = Callable[[dict[str, Any]], Sequence[Step]]
"""Chooses the steps by the request's body."""

_FAULTS = (Fail, FailWithin, Cut, Hang, Redirect, Garble, Drop)


def shell_script(commands: Sequence[str], last_words: str) -> Sequence[Step]:
    """A model that runs these commands one after the other and then says its last words."""
    return [*(Run(command) for command in commands), Say(last_words)]


@dataclass(frozen=True)
class Next:
    """What comes next: `work`, unless one of the faults before it is not used up. A fault goes by its place in the script."""

    work: Work
    faults: tuple[tuple[int, Fault], ...] = ()


def upcoming(steps: Sequence[Step], done: int) -> Next:
    """What comes when `done` tool calls have been answered. After the last step comes the last step again."""
    work = [(index, step) for index, step in enumerate(steps) if not isinstance(step, _FAULTS)]
    ends_in_fault = bool(steps) and isinstance(steps[-1], _FAULTS)
    place = min(done, len(work) if ends_in_fault else len(work) - 1)
    begin = work[place - 1][0] + 1 if place > 0 else 0
    end = work[place][0] if 0 <= place < len(work) else len(steps)
    faults = tuple((index, step) for index, step in enumerate(steps[:end]) if index >= begin and isinstance(step, _FAULTS))
    return Next(work[min(place, len(work) - 1)][1] if work else Say("Done."), faults)
