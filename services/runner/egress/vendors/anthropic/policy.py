"""What a sandbox may ask of the Anthropic API: a pure function from a request to the body that is sent on, or a refusal.

The model API is an exit: it can fetch addresses, run code, call remote servers and read stored files on the caller's behalf. So only what
an agent needs passes, by allow-list, and the body that leaves is the one that was checked, serialised anew.
"""

import re
from typing import Any, cast

from services.runner.egress.vendors import bodies
from services.runner.egress.vendors.anthropic import prices
from services.runner.egress.vendors.price_list import PriceList
from services.runner.egress.vendors.pricing import FREE
from services.runner.egress.vendors.vendor import Asked, Checked, Document, Refused

MESSAGES = "/v1/messages"
ENDPOINTS = frozenset({("POST", MESSAGES), ("POST", "/v1/messages/count_tokens")})
QUERIES = frozenset({"", "beta=true"})

BODY_KEYS = frozenset(
    {
        "model", "messages", "system", "tools", "tool_choice", "metadata", "max_tokens", "thinking", "context_management", "stream",
        "temperature", "top_p", "top_k", "stop_sequences", "output_config", "speed",
    }
)  # fmt: skip
"""Not among them on purpose: `mcp_servers`, `container`, `service_tier` and whatever comes later."""

BLOCKS = frozenset(
    {"text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking", "tool_reference", "search_result"}
)
"""Content the client itself holds. Server-side tools have blocks of their own, which are refused with them."""

SOURCES = frozenset({"base64", "text", "content"})
"""Not `url`, which the API fetches, nor `file`, which it keeps."""

CLIENT_TOOLS = re.compile(r"custom|(bash|text_editor|memory|computer)_20\d{6}")
"""Types of tools that run in the sandbox, by name and date. A tool without a type is the client's own."""

MAX_BETAS = 32
BETA = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
BETAS_REFUSED = ("mcp-client", "code-execution", "files-api", "web-fetch", "web-search", "skills")


def check(asked: Asked, listed: PriceList) -> Checked:
    """Judge one request, and price it by this list. Raises Refused."""
    if (asked.method, asked.path) not in ENDPOINTS:
        raise Refused("endpoint_denied")
    if asked.query not in QUERIES:
        raise Refused("query_denied")
    document = bodies.read(asked.body, BODY_KEYS)
    model = bodies.model(document)
    for tool in bodies.objects(document.get("tools", [])):
        _check_tool(tool)
    _check_content(document.get("messages", []), 0)
    _check_content(document.get("system", []), 0)
    return Checked(
        asked.path + (f"?{asked.query}" if asked.query else ""),
        bodies.serialised(document),
        # Counting tokens costs nothing.
        prices.price(listed, model, fast=document.get("speed") not in (None, "standard")) if asked.path == MESSAGES else FREE,
        stream=document.get("stream") is True,
        max_tokens=bodies.tokens(document.get("max_tokens"), otherwise=bodies.MAX_OUTPUT_TOKENS),
    )


def betas(header: str) -> str:
    """The `anthropic-beta` header without the names that open server-side abilities, and without what is no name."""
    names = (name.strip() for name in header.split(","))
    return ",".join([name for name in names if BETA.fullmatch(name) and not name.lower().startswith(BETAS_REFUSED)][:MAX_BETAS])


def _check_tool(tool: Document) -> None:
    kind = tool.get("type")
    if kind is not None and not (isinstance(kind, str) and CLIENT_TOOLS.fullmatch(kind)):
        raise Refused("server_tool_denied")


def _check_content(value: Any, depth: int) -> None:
    """Walk messages and system text: every block is of an allowed type and every source is inline."""
    if depth > bodies.MAX_DEPTH:
        raise Refused("body_too_deep")
    if isinstance(value, list):
        for item in cast("list[Any]", value):
            _check_content(item, depth + 1)
    elif isinstance(value, dict):
        _check_block(cast("Document", value), depth)


def _check_block(block: Document, depth: int) -> None:
    """A message or a content block. A tool call's `input` is the model's own words and is not read by the API as content."""
    if "type" in block and not bodies.is_one_of(block["type"], BLOCKS):
        raise Refused("content_denied")
    source = block.get("source")
    if isinstance(source, dict):
        inline = cast("Document", source)
        if not bodies.is_one_of(inline.get("type"), SOURCES):
            raise Refused("source_denied")
        _check_content(inline.get("content"), depth + 1)
    _check_content(block.get("content"), depth + 1)
