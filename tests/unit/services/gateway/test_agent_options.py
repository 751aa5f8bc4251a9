"""Options an agent does not know are refused where they are asked for; a task's go before its project's."""

import pytest
from pydantic import ValidationError

from services.gateway import agent_options
from services.gateway.agent_options import MAX_SYSTEM_PROMPT_BYTES, AgentDefaults, AgentOptions
from services.gateway.agents import DEFAULT_AGENTS, Agent
from services.gateway.errors import Invalid
from services.runner.agents import registry
from shared.events.values import Effort

BY_NAME = {agent.name: agent for agent in DEFAULT_AGENTS}


def test_what_the_gateway_knows_of_agents_is_what_their_adapters_say() -> None:
    ours = {name: (agent.vendor, set(agent.efforts), set(agent.tools), agent.system_prompt) for name, agent in BY_NAME.items()}
    adapters = registry.AGENTS.items()
    theirs = {name: (one.vendor, set(one.options.efforts), set(one.options.tools), one.options.system_prompt) for name, one in adapters}
    assert ours == theirs


@pytest.mark.parametrize(
    ("agent", "given", "field", "rule"),
    [
        ("shell", AgentOptions(effort=Effort.LOW), "effort", "unknown_option"),
        ("shell", AgentOptions(append_system_prompt="x"), "append_system_prompt", "unknown_option"),
        ("shell", AgentDefaults(model="m"), "model", "unknown_option"),
        ("shell", AgentDefaults(max_turns=3), "max_turns", "unknown_option"),
        ("codex", AgentOptions(allowed_tools=("Bash",)), "allowed_tools", "unknown_option"),
        ("codex", AgentOptions(allowed_tools=()), "allowed_tools", "unknown_option"),
        ("claude-code", AgentOptions(effort=Effort.MINIMAL), "effort", "unknown_effort"),
        ("claude-code", AgentOptions(allowed_tools=("Bash", "WebFetch")), "allowed_tools", "unknown_tool"),
    ],
)
def test_an_option_nobody_knows_is_named(agent: str, given: AgentOptions, field: str, rule: str) -> None:
    with pytest.raises(Invalid) as refused:
        agent_options.check(given, BY_NAME[agent], "body.agent_options")
    assert [(error.field, error.rule) for error in refused.value.errors] == [(f"body.agent_options.{field}", rule)]


@pytest.mark.parametrize("agent", DEFAULT_AGENTS, ids=lambda agent: agent.name)
def test_what_an_agent_says_it_knows_it_takes(agent: Agent) -> None:
    agent_options.check(AgentOptions(), agent, "body")
    for effort in agent.efforts:
        agent_options.check(AgentOptions(effort=effort), agent, "body")
    if agent.tools:
        agent_options.check(AgentOptions(allowed_tools=agent.tools), agent, "body")
    if agent.system_prompt:
        agent_options.check(AgentOptions(append_system_prompt="x"), agent, "body")


@pytest.mark.parametrize("text", ["", " \n", "a\x00", "\ud800", "é" * (MAX_SYSTEM_PROMPT_BYTES // 2 + 1)])
def test_an_addition_is_a_text_that_says_something_and_fits(text: str) -> None:
    with pytest.raises(ValidationError):
        AgentOptions(append_system_prompt=text)
    assert AgentOptions(append_system_prompt="é" * (MAX_SYSTEM_PROMPT_BYTES // 2))


@pytest.mark.parametrize("tool", ["", "a b", "-x", "Bash(git *)", "a,b", "a" * 33, "\u0430"])
def test_a_tool_is_a_plain_name(tool: str) -> None:
    with pytest.raises(ValidationError):
        AgentOptions(allowed_tools=(tool,))


def test_a_task_goes_before_its_project() -> None:
    project = AgentDefaults(effort=Effort.LOW, append_system_prompt="ours", model="m")
    assert agent_options.over(project, AgentOptions()) == AgentOptions(effort=Effort.LOW, append_system_prompt="ours")
    merged = agent_options.over(project, AgentOptions(effort=Effort.MAX, allowed_tools=()))
    assert merged == AgentOptions(effort=Effort.MAX, append_system_prompt="ours", allowed_tools=())
