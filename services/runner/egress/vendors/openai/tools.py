"""Which tools a sandbox may have an OpenAI model use: those that run in the sandbox. Pure."""

from typing import Any, cast

from services.runner.egress.vendors import bodies
from services.runner.egress.vendors.vendor import Document, Refused

CLIENT_TOOLS = frozenset({"function", "custom", "local_shell", "apply_patch"})
"""Not `web_search…`, `file_search`, `code_interpreter`, `computer…`, `mcp`, `image_generation`, `shell` (it can run in the vendor's
containers), nor what comes later."""
CHOICES = frozenset({"auto", "none", "required"})
MAX_DEPTH = 4


def check(tools: Any, depth: int = 0) -> None:
    """A list of tools, or none. Raises Refused."""
    if depth > MAX_DEPTH:
        raise Refused("body_too_deep")
    for tool in bodies.objects(tools or []):
        _check_tool(tool, depth)


def check_choice(choice: Any) -> None:
    """Which tool the model is to use. Raises Refused."""
    if choice is None or bodies.is_one_of(choice, CHOICES):
        return
    if not isinstance(choice, dict) or not bodies.is_one_of(cast("Document", choice).get("type"), CLIENT_TOOLS):
        raise Refused("server_tool_denied")


def _check_tool(tool: Document, depth: int) -> None:
    kind = tool.get("type")
    if kind == "namespace":  # a group of tools under one name
        check(tool.get("tools"), depth + 1)
    elif kind == "tool_search":  # by default the vendor searches, and what it finds can be its own
        if tool.get("execution") != "client":
            raise Refused("server_tool_denied")
    elif not bodies.is_one_of(kind, CLIENT_TOOLS):
        raise Refused("server_tool_denied")
