"""What a response cost, read from its own usage totals as the bytes pass. Pure: bytes in, totals out; never trusts the sandbox.

A stream repeats its usage: `message_start` has the input, each `message_delta` the output so far. The largest value seen of each counts,
so an event that is repeated or out of order neither adds twice nor hides anything.
"""

import json
from dataclasses import dataclass, field
from typing import Any, cast

from services.runner.egress import prices

MAX_LINE = 4 * 1024 * 1024
"""A line of a stream longer than this is not kept for reading; usage events are a few hundred bytes."""

_FIELDS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")


@dataclass
class ResponseMeter:
    """Reads one response. Feed it every chunk, then ask for the totals."""

    model: str
    stream: bool
    fast: bool = False
    _totals: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_FIELDS, 0))
    _rest: bytes = b""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        self._rest += chunk
        if not self.stream:
            self._rest = self._rest[-MAX_LINE:] if len(self._rest) > MAX_LINE else self._rest
            return
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            self._line(line)
        if len(self._rest) > MAX_LINE:
            self._rest = b""

    def finish(self) -> None:
        """Read what is left, at the end of the body or where it was cut."""
        self._line(self._rest if self.stream else b"data: " + self._rest)
        self._rest = b""

    def _line(self, line: bytes) -> None:
        if not line.startswith(b"data:") or b'"usage"' not in line:
            return
        try:
            event: Any = json.loads(line[5:])
        except (ValueError, RecursionError):
            return  # cut short, or not ours to read
        if not isinstance(event, dict):
            return
        document = cast("dict[str, Any]", event)
        for holder in (document, document.get("message")):
            usage: Any = cast("dict[str, Any]", holder).get("usage") if isinstance(holder, dict) else None
            if isinstance(usage, dict):
                self._take(cast("dict[str, Any]", usage))

    def _take(self, usage: dict[str, Any]) -> None:
        for name in _FIELDS:
            value = usage.get(name)
            if isinstance(value, int) and value > self._totals[name]:
                self._totals[name] = value

    @property
    def input_tokens(self) -> int:
        """Everything that was read: fresh, written to the cache and read from it."""
        return sum(self._totals[name] for name in _FIELDS if name != "output_tokens")

    @property
    def output_tokens(self) -> int:
        """Everything that was written."""
        return self._totals["output_tokens"]

    @property
    def cost_usd(self) -> float:
        """The response's price in US dollars."""
        totals = self._totals
        return prices.cost_usd(
            self.model,
            fresh=totals["input_tokens"],
            cache_written=totals["cache_creation_input_tokens"],
            cache_read=totals["cache_read_input_tokens"],
            output=totals["output_tokens"],
            fast=self.fast,
        )
