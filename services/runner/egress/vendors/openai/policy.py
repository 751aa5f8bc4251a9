"""What a sandbox may ask of the OpenAI API: a pure function from a request to the body that is sent on, or a refusal.

The Responses API is an exit: it searches the web, runs code, calls remote servers, fetches addresses and reads what the key's account has
stored. So only what an agent needs passes, by allow-list, and the body that leaves is the one that was checked, serialised anew.
"""

from typing import Any, cast

from services.runner.egress.vendors import bodies
from services.runner.egress.vendors.openai import items, prices, tools
from services.runner.egress.vendors.price_list import PriceList
from services.runner.egress.vendors.vendor import Asked, Checked, Document, Refused

RESPONSES = "/v1/responses"
"""All that Codex calls, also for compacting its context."""

BODY_KEYS = frozenset(
    {
        "model", "instructions", "input", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text", "stream", "stream_options",
        "store", "include", "service_tier", "prompt_cache_key", "client_metadata", "max_output_tokens",
        "temperature", "top_p", "truncation",
    }
)  # fmt: skip
"""Not among them on purpose: `previous_response_id`, `conversation`, `background`, `prompt` (a stored template), `metadata`,
`context_management` and whatever comes later."""

INCLUDED = frozenset({"reasoning.encrypted_content"})
"""The client keeps it. Everything else there is to include is what server-side tools found or what is stored."""

TIERS = frozenset({"auto", "default", "flex"})
FASTER_TIERS = frozenset({"priority", "fast"})
MAX_OUTPUT_TOKENS = 128_000
"""Of every model so far: what a request may cost that names no bound."""


def check(asked: Asked, listed: PriceList) -> Checked:
    """Judge one request, and price it by this list. Raises Refused."""
    if (asked.method, asked.path) != ("POST", RESPONSES):
        raise Refused("endpoint_denied")
    if asked.query:
        raise Refused("query_denied")
    document = bodies.read(asked.body, BODY_KEYS)
    model = bodies.model(document)
    _check_storing(document)
    tier = _tier(document)
    tools.check(document.get("tools"))
    tools.check_choice(document.get("tool_choice"))
    items.check(document.get("input", []))
    items.check_text(document.get("instructions"))
    return Checked(
        asked.path,
        bodies.serialised(document | {"store": False}),
        prices.price(listed, model, priority=tier in FASTER_TIERS),
        stream=document.get("stream") is True,
        max_tokens=bodies.tokens(document.get("max_output_tokens"), otherwise=MAX_OUTPUT_TOKENS),
    )


def _check_storing(document: Document) -> None:
    """Nothing is kept on the account, where another run could find it, and nothing kept there is given out."""
    if document.get("store", False) is not False:
        raise Refused("store_denied")
    included: Any = document.get("include") or []
    if not isinstance(included, list) or not all(bodies.is_one_of(name, INCLUDED) for name in cast("list[Any]", included)):
        raise Refused("include_denied")


def _tier(document: Document) -> str | None:
    tier: Any = document.get("service_tier")
    if tier is not None and not bodies.is_one_of(tier, TIERS | FASTER_TIERS):
        raise Refused("field_denied")
    return tier
