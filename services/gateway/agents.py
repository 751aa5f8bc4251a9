"""The agents a task can name, whose model key each uses and which options it knows. What an agent is and how it runs is the runner's.

The services are independent: a test holds this table to what the runner's adapters say of themselves.
"""

from typing import Final

from services.gateway.errors import invalid
from shared.events.payload import Value
from shared.events.values import AgentName, Effort, ModelName, ToolName

_LOW_TO_MAX: Final = (Effort.LOW, Effort.MEDIUM, Effort.HIGH, Effort.XHIGH, Effort.MAX)


class Agent(Value):
    """One agent. `vendor` None: it needs no model key, and takes neither a model nor a number of turns."""

    name: AgentName
    vendor: str | None = None
    models: tuple[ModelName, ...] = ()
    """Suggestions to show; any well-formed name is accepted."""
    efforts: tuple[Effort, ...] = ()
    tools: tuple[ToolName, ...] = ()
    """Those it can be held to, by its own names."""
    system_prompt: bool = False
    """Whether something can be added to its system prompt."""

    @property
    def options(self) -> tuple[str, ...]:
        """The names of the options it knows."""
        knows = {
            "model": self.vendor is not None,
            "max_turns": self.vendor is not None,
            "effort": bool(self.efforts),
            "append_system_prompt": self.system_prompt,
            "allowed_tools": bool(self.tools),
        }
        return tuple(name for name, known in knows.items() if known)


DEFAULT_AGENTS: Final = (
    Agent(
        name="claude-code",
        vendor="anthropic",
        efforts=_LOW_TO_MAX,
        tools=("Agent", "Bash", "Edit", "Glob", "Grep", "NotebookEdit", "Read", "Skill", "Write"),
        system_prompt=True,
    ),
    Agent(name="codex", vendor="openai", efforts=(Effort.MINIMAL, *_LOW_TO_MAX), system_prompt=True),
    Agent(
        name="opencode",
        vendor="anthropic",
        efforts=(Effort.LOW, Effort.MEDIUM, Effort.HIGH, Effort.MAX),
        tools=("bash", "edit", "glob", "grep", "read", "skill", "task", "todowrite"),
        system_prompt=True,
    ),
    Agent(name="shell"),
)


def named(agents: tuple[Agent, ...], name: AgentName, field: str) -> Agent:
    """The agent of this name. Raises Invalid."""
    known = {agent.name: agent for agent in agents}
    if name not in known:
        raise invalid(field, "unknown_agent", f"must be one of: {', '.join(known)}")
    return known[name]
