"""Every agent there is, by name."""

from services.runner.agents.adapter import Agent, Assignment
from services.runner.agents.claude_code import ClaudeCode
from services.runner.agents.codex import Codex
from services.runner.agents.opencode import OpenCode
from services.runner.agents.shell import Shell
from services.runner.errors import UnknownAgent, UnknownOption

_AGENTS: tuple[Agent, ...] = (ClaudeCode(), Codex(), OpenCode(), Shell())

AGENTS: dict[str, Agent] = {agent.name: agent for agent in _AGENTS}


def agent(name: str) -> Agent:
    """The agent of this name. Raises UnknownAgent."""
    if name not in AGENTS:
        raise UnknownAgent(f"no agent {name} is installed")
    return AGENTS[name]


def check(agent: Agent, assignment: Assignment) -> None:
    """Raises UnknownOption where the agent is told what it does not know."""
    if not agent.options.hold(assignment):
        raise UnknownOption(f"{agent.name} does not know an option of this run")
