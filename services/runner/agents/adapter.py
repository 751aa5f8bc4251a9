"""What an agent is to the runner: an image, a command, a reader of its output and a judge of its end. No I/O.

Adding an agent is one file here, one line in `registry` and one Dockerfile under deploy/images/.
"""

from dataclasses import dataclass, field
from typing import Protocol

from services.runner.doors import Door, Spending
from services.runner.sandbox import Elsewhere, Program, SessionPlace
from shared.events.ids import RunId, SessionId
from shared.events.output import AgentEvent
from shared.events.values import AgentOptions, Effort, Limits, ModelName, ToolName


@dataclass(frozen=True)
class Assignment:
    """What one attempt is told. Prompt and system prompt are a person's; the door is None for an agent without a model."""

    run_id: RunId
    prompt: str
    model: ModelName | None
    limits: Limits
    door: Door | None
    elsewhere: Elsewhere = field(default_factory=Elsewhere)
    """What the agent finds missing in the repository."""
    options: AgentOptions = field(default_factory=AgentOptions)
    system_prompt: str = ""
    """What is added to the agent's own."""
    session_id: SessionId | None = None
    """The session to go on with, which lies where `Agent.session_place` puts it; None: begin one."""


@dataclass(frozen=True)
class Options:
    """Which options an agent knows, in closed vocabularies; the gateway refuses any other when a task is handed in."""

    efforts: frozenset[Effort] = frozenset()
    tools: frozenset[ToolName] = frozenset()
    """Those it can be held to, by its own names."""
    system_prompt: bool = False
    """Whether something can be added to its system prompt."""

    def hold(self, assignment: Assignment) -> bool:
        """Whether the assignment asks for nothing else."""
        asked = assignment.options
        return (
            (asked.effort is None or asked.effort in self.efforts)
            and self.tools.issuperset(asked.allowed_tools or ())
            and (asked.allowed_tools is None or bool(self.tools))
            and (self.system_prompt or not assignment.system_prompt)
        )


@dataclass(frozen=True)
class Ending:
    """How the agent's process ended. Events are agent-written and can be forged: what was spent is what the door metered."""

    exit_code: int
    last: AgentEvent | None
    """The last event that came from its standard output."""
    spending: Spending


class Agent(Protocol):
    """One kind of agent."""

    @property
    def name(self) -> str:
        """As tasks name it; its image is `async-code/<name>:current` unless the operator says otherwise."""
        ...

    @property
    def vendor(self) -> str | None:
        """Whose model it needs, and so a key of; its door leads there and nowhere else. None: it needs no way out."""
        ...

    @property
    def keeps_to_turns(self) -> bool:
        """Whether it ends by itself after `limits.max_turns`. Otherwise its door stops answering."""
        ...

    @property
    def options(self) -> Options:
        """What it can be told beside the prompt. An option it does not know would silently do nothing, so it gets none."""
        ...

    def program(self, assignment: Assignment) -> Program:
        """The process to start. The prompt goes in on standard input, never in an argument."""
        ...

    def parse(self, line: str) -> AgentEvent | None:
        """A line of its standard output as an event; None for one that nobody needs to see."""
        ...

    def session_of(self, line: str) -> SessionId | None:
        """The id of its session, where this line of its standard output tells it. Untrusted, and an id is all that is taken from it."""
        ...

    def session_place(self, session_id: SessionId) -> SessionPlace | None:
        """Where it keeps this session in its sandbox. None: it cannot go on with one, and another attempt begins anew."""
        ...

    def verdict(self, ending: Ending) -> str | None:
        """The failure code of its end; None when it ended well."""
        ...
