"""How a person wants an agent to work: what they ask for in a task, over what the project says for that agent. Pure.

An agent that does not know an option would do the task as if it had not been asked for, so it is refused where it is asked for.
"""

from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from services.gateway.agents import Agent
from services.gateway.errors import FieldError, Invalid
from services.gateway.text import Request, storable
from shared.events import values
from shared.events.values import Effort, ModelName, ToolName

MAX_SYSTEM_PROMPT_BYTES = 20_000


def _addition(text: str) -> str:
    storable(text)
    if len(text.encode()) > MAX_SYSTEM_PROMPT_BYTES:
        raise PydanticCustomError("too_long", "must have at most {max_bytes} bytes as UTF-8", {"max_bytes": MAX_SYSTEM_PROMPT_BYTES})
    if not text.strip():
        raise PydanticCustomError("blank", "must say something")
    return text


class AgentOptions(Request):
    """How the agent works. What is left out is as the project says for this agent, else the agent's own."""

    effort: Annotated[Effort | None, Field(description="How hard the model thinks.")] = None
    append_system_prompt: Annotated[
        Annotated[str, AfterValidator(_addition)] | None,
        Field(description="Added to the agent's own system prompt; at most 20 kB. Like the prompt it never enters a message."),
    ] = None
    allowed_tools: Annotated[
        Annotated[tuple[ToolName, ...], Field(max_length=32)] | None,
        Field(description="The only tools the model is offered, by the agent's own names."),
    ] = None

    @property
    def travelling(self) -> values.AgentOptions:
        """What of it stands in messages."""
        return values.AgentOptions(effort=self.effort, allowed_tools=self.allowed_tools)


class AgentDefaults(AgentOptions):
    """What a project says for one agent; a task may say otherwise."""

    model: ModelName | None = None
    max_turns: Annotated[int | None, Field(ge=1, le=1_000)] = None


def check(given: AgentOptions, agent: Agent, where: str) -> None:
    """Raise Invalid, with every option that the agent does not know."""
    errors = (*_unknown(given, agent, where), *_unknown_values(given, agent, where))
    if errors:
        raise Invalid(f"{errors[0].field}: {errors[0].message}", errors=errors)


def _unknown(given: AgentOptions, agent: Agent, where: str) -> Iterator[FieldError]:
    asked = (name for name, value in given if value is not None and name not in agent.options)
    for name in asked:
        known = f"it knows {', '.join(agent.options)}" if agent.options else "it knows none"
        yield FieldError(f"{where}.{name}", "unknown_option", f"{agent.name} has no such option: {known}")


def _unknown_values(given: AgentOptions, agent: Agent, where: str) -> Iterator[FieldError]:
    if agent.efforts and given.effort is not None and given.effort not in agent.efforts:
        yield FieldError(f"{where}.effort", "unknown_effort", f"{agent.name} knows {', '.join(agent.efforts)}")
    strange = [tool for tool in given.allowed_tools or () if tool not in agent.tools]
    if agent.tools and strange:
        yield FieldError(f"{where}.allowed_tools", "unknown_tool", f"{agent.name} knows {', '.join(agent.tools)}; not {', '.join(strange)}")


def over(defaults: AgentDefaults, given: AgentOptions) -> AgentOptions:
    """What the task asks for, and of the rest what the project says."""
    names = AgentOptions.model_fields
    return AgentOptions.model_construct(
        **{name: getattr(defaults, name) if getattr(given, name) is None else getattr(given, name) for name in names}
    )
