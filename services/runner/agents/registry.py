"""Every agent there is, by name."""

from services.runner.agents.adapter import Agent
from services.runner.agents.claude_code import ClaudeCode
from services.runner.agents.codex import Codex
from services.runner.agents.shell import Shell
from services.runner.errors import UnknownAgent

_AGENTS: tuple[Agent, ...] = (ClaudeCode(), Codex(), Shell())

AGENTS: dict[str, Agent] = {agent.name: agent for agent in _AGENTS}


def agent(name: str) -> Agent:
    """The agent of this name. Raises UnknownAgent."""
    if name not in AGENTS:
        raise UnknownAgent(f"no agent {name} is installed")
    return AGENTS[name]
