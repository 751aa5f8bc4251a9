"""What a sandbox may ask of the Anthropic API: a pure function from a request to the body that is sent on, or a refusal.

The model API is an exit: it can fetch addresses, run code, call remote servers and read stored files on the caller's behalf. So only what
an agent needs passes, by allow-list, and the body that leaves is the one that was checked, serialised anew.
"""

import json
from dataclasses import dataclass
from typing import Any, cast

from services.runner.egress import prices

MESSAGES = "/v1/messages"
ENDPOINTS = frozenset({("POST", MESSAGES), ("POST", "/v1/messages/count_tokens")})

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

CLIENT_TOOLS = ("custom", "bash_", "text_editor_", "memory_", "computer_")
"""Types of tools that run in the sandbox. A tool without a type is the client's own."""

BETAS_REFUSED = ("mcp-client", "code-execution", "files-api", "web-fetch", "web-search", "skills")

MAX_DEPTH = 64
MAX_MODEL_NAME = 128
MAX_PARTS = 500_000
"""Of a body's brackets and commas, those in texts too: a context of a million tokens has fewer. A body of nothing else keeps this process,
which serves every run of the host, busy for its seconds and gigabytes (seen: 20 s and 0.9 GB for 30 MB)."""
MAX_OUTPUT_TOKENS = 1_000_000


class Refused(Exception):
    """The request is not one a sandbox may make; `reason` is a stable snake_case name."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Checked:
    """A request that may be sent on: `body` is our own serialisation of what was checked."""

    path: str
    body: bytes
    model: str
    stream: bool
    fast: bool
    """At the dearer speed."""
    max_tokens: int

    @property
    def worst_usd(self) -> float:
        """About what it costs if the answer is as long as it may be: four bytes are a token. Counting tokens costs nothing."""
        if self.path != MESSAGES:
            return 0.0
        return prices.cost_usd(self.model, fresh=len(self.body) // 4, cache_written=0, cache_read=0, output=self.max_tokens, fast=self.fast)


def check(method: str, path: str, body: bytes) -> Checked:
    """Judge one request. Raises Refused."""
    if (method, path) not in ENDPOINTS:
        raise Refused("endpoint_denied")
    document = _object(body)
    unknown = document.keys() - BODY_KEYS
    if unknown:
        raise Refused("field_denied")
    model = document.get("model")
    if not isinstance(model, str) or not 0 < len(model) <= MAX_MODEL_NAME:
        raise Refused("model_missing")
    for tool in _objects(document.get("tools", [])):
        _check_tool(tool)
    _check_content(document.get("messages", []), 0)
    _check_content(document.get("system", []), 0)
    return Checked(
        path,
        _serialised(document),
        model,
        stream=document.get("stream") is True,
        fast=document.get("speed") not in (None, "standard"),
        max_tokens=_tokens(document.get("max_tokens")),
    )


def betas(header: str) -> str:
    """The `anthropic-beta` header without the names that open server-side abilities."""
    names = (name.strip() for name in header.split(","))
    return ",".join(name for name in names if name and not name.lower().startswith(BETAS_REFUSED))


def _serialised(document: dict[str, Any]) -> bytes:
    try:
        return json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")
    except RecursionError as error:
        raise Refused("body_too_deep") from error


def _tokens(value: Any) -> int:
    """A number the upstream would not take counts as none: it refuses the request."""
    return min(max(value, 0), MAX_OUTPUT_TOKENS) if isinstance(value, int) else 0


def _object(body: bytes) -> dict[str, Any]:
    if sum(map(body.count, (b"[", b"{", b","))) > MAX_PARTS:
        raise Refused("body_too_complex")
    try:
        document: Any = json.loads(body, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise Refused("body_invalid") from error
    if not isinstance(document, dict):
        raise Refused("body_invalid")
    return cast("dict[str, Any]", document)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # RFC 8259 §4: two readers may take different ones of two equal names, so that what was checked would not be what is read.
    if len({name for name, _ in pairs}) != len(pairs):
        raise Refused("duplicate_key")
    return dict(pairs)


def _objects(value: Any) -> list[dict[str, Any]]:
    items = cast("list[Any]", value) if isinstance(value, list) else None
    if items is None or not all(isinstance(item, dict) for item in items):
        raise Refused("body_invalid")
    return cast("list[dict[str, Any]]", items)


def _check_tool(tool: dict[str, Any]) -> None:
    kind = tool.get("type")
    if kind is not None and not (isinstance(kind, str) and kind.startswith(CLIENT_TOOLS)):
        raise Refused("server_tool_denied")


def _check_content(value: Any, depth: int) -> None:
    """Walk messages and system text: every block is of an allowed type and every source is inline."""
    if depth > MAX_DEPTH:
        raise Refused("body_too_deep")
    if isinstance(value, list):
        for item in cast("list[Any]", value):
            _check_content(item, depth + 1)
    elif isinstance(value, dict):
        _check_block(cast("dict[str, Any]", value), depth)


def _check_block(block: dict[str, Any], depth: int) -> None:
    """A message or a content block. A tool call's `input` is the model's own words and is not read by the API as content."""
    if "type" in block and not _is_one_of(block["type"], BLOCKS):
        raise Refused("content_denied")
    source = block.get("source")
    if isinstance(source, dict):
        inline = cast("dict[str, Any]", source)
        if not _is_one_of(inline.get("type"), SOURCES):
            raise Refused("source_denied")
        _check_content(inline.get("content"), depth + 1)
    _check_content(block.get("content"), depth + 1)


def _is_one_of(value: Any, names: frozenset[str]) -> bool:
    return isinstance(value, str) and value in names
