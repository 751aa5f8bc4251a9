"""The agents a task can name, and whose model key each one uses. What an agent is and how it runs is the runner's."""

from typing import Final

from shared.events.payload import Value
from shared.events.values import AgentName, ModelName


class Agent(Value):
    """One agent. `vendor` None: it needs no model key."""

    name: AgentName
    vendor: str | None = None
    models: tuple[ModelName, ...] = ()
    """Suggestions to show; any well-formed name is accepted."""


DEFAULT_AGENTS: Final = (
    Agent(name="claude-code", vendor="anthropic"),
    Agent(name="codex", vendor="openai"),
    Agent(name="shell"),
)
