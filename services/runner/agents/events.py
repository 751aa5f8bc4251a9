"""Makes events of what agents print. It is untrusted and can be anything: nothing here may fail on it."""

import json
from typing import Any, cast

from shared.events.output import MAX_TEXT, AgentEvent

MAX_NAME = 256


def event(kind: Any, text: str, name: str = "") -> AgentEvent:
    """An event that can be encoded and stored: lone surrogates, which JSON can spell, go, and what is too long is cut and says so."""
    whole, called = (part.encode("utf-8", "replace").decode() for part in (text, name))
    return AgentEvent(kind=kind, text=whole[:MAX_TEXT], name=called[:MAX_NAME], truncated=len(whole) > MAX_TEXT)


def document(line: str) -> dict[str, Any] | None:
    """The JSON object in a line; None where there is none."""
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def log_line(line: str) -> AgentEvent | None:
    """A line that is no event of the agent's."""
    return event("log", line) if line.strip() else None


def as_text(value: Any) -> str:
    """A value as a person reads it: text as it is, anything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def as_object(value: Any) -> dict[str, Any]:
    """A JSON object as it is; anything else as an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
