"""What a vendor's API is to a door: which requests may pass, how the key travels, what an answer cost, how an error is said. No I/O.

A door has exactly one vendor, that of its credential: nothing of another can be reached through it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from services.runner.egress.vendors.pricing import Price, Tokens

Document = dict[str, Any]
Totals = Mapping[str, int]
"""Counts of one answer under the vendor's own names."""


class Refused(Exception):
    """The request is not one a sandbox may make; `reason` is a stable snake_case name, `host` whom it would have led to, if that is why."""

    def __init__(self, reason: str, host: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.host = host


@dataclass(frozen=True)
class Asked:
    """A request as the sandbox made it."""

    method: str
    path: str
    query: str
    body: bytes


@dataclass(frozen=True)
class Checked:
    """A request that may be sent on: `body` is our own serialisation of what was checked."""

    target: str
    """Path and query on the upstream."""
    body: bytes
    price: Price
    stream: bool
    max_tokens: int
    """The most the answer may be long."""

    @property
    def worst_usd(self) -> float:
        """About what it costs if the answer is as long as it may be: four bytes are a token."""
        return self.price.cost_usd(Tokens(fresh=len(self.body) // 4, output=self.max_tokens))


def bearer(headers: Mapping[str, str]) -> str:
    """The token of an `authorization: Bearer` header; empty where there is none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else ""


class Vendor(Protocol):
    """One vendor's API."""

    @property
    def name(self) -> str:
        """As credentials name it."""
        ...

    def check(self, asked: Asked) -> Checked:
        """Judges one request. Raises Refused."""
        ...

    def token(self, headers: Mapping[str, str]) -> str:
        """What the sandbox shows as its key."""
        ...

    def headers(self, key: str, sent: Mapping[str, str]) -> dict[str, str]:
        """What goes out beside the proxy's own: always the real key, and of the sandbox's headers only what was judged."""
        ...

    def totals(self, event: Document) -> Totals:
        """The counts in one event of a stream, or in the whole answer; empty where there are none."""
        ...

    def written(self, event: Document) -> str:
        """The piece of the answer that one event of a stream spells out; empty where it is another event."""
        ...

    def tokens(self, totals: Totals) -> Tokens:
        """The counts by what each costs."""
        ...

    def error(self, kind: str, message: str) -> Document:
        """An error as the vendor's clients read it."""
        ...

    def failure(self, event: Document) -> int:
        """The status that an event of an answer under way stands for, where it says that there is no answer; 0 for any other event."""
        ...

    def meaning(self, status: int, body: bytes) -> int:
        """The status by which an error answer is remembered: some vendors say different things with one."""
        ...
