"""Anthropic's Messages API as a door's vendor."""

from collections.abc import Mapping
from typing import Any, cast

from services.runner.egress.vendors.anthropic import policy
from services.runner.egress.vendors.price_list import PriceList
from services.runner.egress.vendors.pricing import Tokens
from services.runner.egress.vendors.vendor import Asked, Checked, Document, Totals, bearer

_FIELDS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
_SPELT_OUT = ("text", "thinking", "partial_json")
_STATUS_OF: Mapping[Any, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""Errors that come within a stream, which has begun with 200, by the status that they have otherwise (its documentation, "Errors")."""
_API_ERROR = 500
_SUBSCRIPTION = "sk-ant-oat"
_OAUTH_BETA = "oauth-2025-04-20"


class Anthropic:
    """See Vendor."""

    name = "anthropic"

    def __init__(self, listed: PriceList) -> None:
        self._listed = listed

    def check(self, asked: Asked) -> Checked:
        """See Vendor."""
        return policy.check(asked, self._listed)

    def token(self, headers: Mapping[str, str]) -> str:
        """See Vendor."""
        return headers.get("x-api-key") or bearer(headers)

    def headers(self, key: str, sent: Mapping[str, str]) -> dict[str, str]:
        """See Vendor. A subscription's OAuth token goes where the client itself would put it, and is taken with this beta alone."""
        subscription = key.startswith(_SUBSCRIPTION)
        beta = policy.betas(",".join((*((_OAUTH_BETA,) if subscription else ()), sent.get("anthropic-beta", ""))))
        return {
            "anthropic-version": "2023-06-01",
            **({"anthropic-beta": beta} if beta else {}),
            **({"authorization": f"Bearer {key}"} if subscription else {"x-api-key": key}),
        }

    def totals(self, event: Document) -> Totals:
        """See Vendor. `message_start` has the input, each `message_delta` the output so far."""
        found: dict[str, int] = {}
        for holder in (event, event.get("message")):
            usage: Any = cast("Document", holder).get("usage") if isinstance(holder, dict) else None
            if isinstance(usage, dict):
                counts = cast("Document", usage)
                found |= {name: counts[name] for name in _FIELDS if isinstance(counts.get(name), int)}
        return found

    def written(self, event: Document) -> str:
        """See Vendor. A delta is of one kind: text, thinking or a tool's input."""
        delta: Any = event.get("delta")
        if event.get("type") != "content_block_delta" or not isinstance(delta, dict):
            return ""
        pieces = (cast("Document", delta).get(name) for name in _SPELT_OUT)
        return "".join(piece for piece in pieces if isinstance(piece, str))

    def tokens(self, totals: Totals) -> Tokens:
        """See Vendor."""
        return Tokens(*(totals.get(name, 0) for name in _FIELDS))

    def error(self, kind: str, message: str) -> Document:
        """See Vendor."""
        return {"type": "error", "error": {"type": kind, "message": message}}

    def failure(self, event: Document) -> int:
        """See Vendor."""
        if event.get("type") != "error":
            return 0
        error: Any = event.get("error")
        kind: Any = cast("Document", error).get("type") if isinstance(error, dict) else None
        return _STATUS_OF.get(kind, _API_ERROR) if isinstance(kind, str) else _API_ERROR

    def meaning(self, status: int, body: bytes) -> int:
        """See Vendor."""
        del body
        return status
