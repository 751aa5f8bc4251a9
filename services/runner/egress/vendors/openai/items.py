"""What may stand in the input of a request to OpenAI: the conversation as the client itself holds it. Pure.

Anything that only names something the vendor keeps (an item, a file, an address) is refused: with the account's key, it could be anybody's.
"""

from typing import Any

from services.runner.egress.vendors import bodies
from services.runner.egress.vendors.openai import tools
from services.runner.egress.vendors.vendor import Document, Refused

ITEMS = frozenset(
    {
        "message", "agent_message", "reasoning", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output",
        "local_shell_call", "local_shell_call_output", "apply_patch_call", "apply_patch_call_output", "tool_search_call",
        "tool_search_output", "additional_tools", "compaction", "context_compaction", "compaction_trigger",
    }
)  # fmt: skip
"""Not `item_reference`, which an item without a type also is, nor any call of a server-side tool."""

SEALED = frozenset({"reasoning", "compaction", "context_compaction"})
"""They carry their content encrypted. With their id alone the vendor looks them up."""

PARTS = frozenset({"input_text", "output_text", "summary_text", "reasoning_text", "text", "refusal", "input_image", "encrypted_content"})
"""Not `input_file` nor `input_audio`, which no agent here sends."""

INLINE = "data:image/"
_HELD_BY_VENDOR = ("file_id", "file_url", "file_data")


def check(given: Any) -> None:
    """The input: text, or a list of items. Raises Refused."""
    if not isinstance(given, str):
        for item in bodies.objects(given):
            _check_item(item)


def check_text(value: Any) -> None:
    """Raises Refused for what is neither text nor absent."""
    if value is not None and not isinstance(value, str):
        raise Refused("body_invalid")


def _check_item(item: Document) -> None:
    if item.get("type") is None and isinstance(item.get("role"), str) and "content" in item:
        item["type"] = "message"  # as the API takes it; said so that nothing else can be taken from it
    kind = item.get("type")
    if not bodies.is_one_of(kind, ITEMS):
        raise Refused("content_denied")
    sealed = item.get("encrypted_content")
    if kind in SEALED and not (isinstance(sealed, str) and sealed):
        raise Refused("stored_item_denied")
    tools.check(item.get("tools"))
    for name in ("content", "output", "summary"):
        _check_parts(item.get(name))


def _check_parts(parts: Any) -> None:
    """Content: text, or a list of parts."""
    if parts is not None and not isinstance(parts, str):
        for part in bodies.objects(parts):
            _check_part(part)


def _check_part(part: Document) -> None:
    if not bodies.is_one_of(part.get("type"), PARTS):
        raise Refused("content_denied")
    if any(part.get(name) is not None for name in _HELD_BY_VENDOR):
        raise Refused("source_denied")
    address: Any = part.get("image_url")
    if (part["type"] == "input_image" or address is not None) and not (isinstance(address, str) and address.startswith(INLINE)):
        raise Refused("source_denied")
