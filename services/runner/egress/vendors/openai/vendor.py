"""OpenAI's Responses API as a door's vendor."""

import json
from collections.abc import Mapping
from typing import Any, cast

from services.runner.egress.vendors.openai import policy
from services.runner.egress.vendors.price_list import PriceList
from services.runner.egress.vendors.pricing import Tokens
from services.runner.egress.vendors.vendor import Asked, Checked, Document, Totals, bearer

_TOO_MANY, _PAYMENT_REQUIRED = 429, 402  # RFC 6585 §4, RFC 9110 §15.5.3
_STATUS_OF: Mapping[Any, int] = {
    "context_length_exceeded": 400,
    "invalid_prompt": 400,
    "insufficient_quota": _PAYMENT_REQUIRED,
    "rate_limit_exceeded": _TOO_MANY,
    "server_is_overloaded": 503,
    "slow_down": 503,
}
"""Errors that come within a stream, which has begun with 200, by the status that they have otherwise."""
_INVALID, _SERVER_ERROR = 400, 500
_LITE = "x-openai-internal-codex-responses-lite"
"""Codex says by it that a request has its tools among the input, as newer models take them. Passed on as `true` or not at all."""


class OpenAI:
    """See Vendor."""

    name = "openai"

    def __init__(self, listed: PriceList) -> None:
        self._listed = listed

    def check(self, asked: Asked) -> Checked:
        """See Vendor."""
        return policy.check(asked, self._listed)

    def token(self, headers: Mapping[str, str]) -> str:
        """See Vendor."""
        return bearer(headers)

    def headers(self, key: str, sent: Mapping[str, str]) -> dict[str, str]:
        """See Vendor."""
        return {"authorization": f"Bearer {key}", **({_LITE: "true"} if sent.get(_LITE) == "true" else {})}

    def totals(self, event: Document) -> Totals:
        """See Vendor. The last event of a stream has them; a whole answer has them at its top."""
        found: dict[str, int] = {}
        for holder in (event, event.get("response")):
            usage = _object(_object(holder).get("usage"))
            read, written = _object(usage.get("input_tokens_details")), usage.get("output_tokens")
            counts = {
                "input": usage.get("input_tokens"),
                "cache_read": read.get("cached_tokens"),
                "cache_written": read.get("cache_write_tokens"),
                "output": written,  # thinking included
            }
            found |= {name: count for name, count in counts.items() if isinstance(count, int)}
        return found

    def written(self, event: Document) -> str:
        """See Vendor. Every kind of output has deltas of its own, each with its piece as text."""
        kind, piece = event.get("type"), event.get("delta")
        return piece if isinstance(piece, str) and isinstance(kind, str) and kind.endswith(".delta") else ""

    def tokens(self, totals: Totals) -> Tokens:
        """See Vendor. What was cached is part of the input."""
        read, written = totals.get("cache_read", 0), totals.get("cache_written", 0)
        return Tokens(max(totals.get("input", 0) - read - written, 0), written, read, totals.get("output", 0))

    def error(self, kind: str, message: str) -> Document:
        """See Vendor."""
        return {"error": {"type": kind, "message": message, "code": None, "param": None}}

    def failure(self, event: Document) -> int:
        """See Vendor. `error` has its code itself, `response.failed` that of the response."""
        match event.get("type"):
            case "error":
                code: Any = event.get("code") or _object(event.get("error")).get("code")
            case "response.failed":
                code = _object(_object(event.get("response")).get("error")).get("code")
            case _:
                return 0
        if not isinstance(code, str):
            return _SERVER_ERROR
        return _STATUS_OF.get(code) or (_INVALID if code.startswith("invalid_") else _SERVER_ERROR)

    def meaning(self, status: int, body: bytes) -> int:
        """See Vendor. An account without credit is answered like one that asks too often, but waiting helps only the latter."""
        return _PAYMENT_REQUIRED if status == _TOO_MANY and _without_credit(body) else status


def _without_credit(body: bytes) -> bool:
    try:
        error = _object(_object(json.loads(body)).get("error"))
    except (ValueError, RecursionError):
        return False
    return "insufficient_quota" in (error.get("code"), error.get("type"))


def _object(value: Any) -> Document:
    return cast("Document", value) if isinstance(value, dict) else {}
