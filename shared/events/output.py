"""What a running agent says, line by line: the messages of the stream OUT (`out.<owner>.<task>.<run>`) and of the transcript blob.

Agent-written and untrusted: shown to people as data, never acted upon, never in the trail but by the transcript's hash.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from shared.events.ids import RunId
from shared.events.payload import Value

MAX_TEXT = 65_536
"""Characters of one event's text; the rest is cut and said so."""

Text = Annotated[str, StringConstraints(max_length=MAX_TEXT)]


class AgentEvent(Value):
    """One thing the agent said or did.

    `kind`: `message` (its words), `tool_call` (`name` and its input as text), `tool_result`, `log` (a line that is no event),
    `status` (ours: what the sandbox does), `result` (its last word).
    """

    kind: Literal["message", "tool_call", "tool_result", "log", "status", "result"]
    text: Text = ""
    name: Annotated[str, StringConstraints(max_length=256)] = ""
    truncated: bool = False


class OutputLine(Value):
    """An event of one attempt of a run, numbered without gaps from 1."""

    run_id: RunId
    fence: int
    number: Annotated[int, Field(ge=1)]
    at: datetime
    event: AgentEvent


def subject(owner: str, task: str, run: str) -> str:
    """The NATS subject of a run's output."""
    return f"out.{owner}.{task}.{run}"
