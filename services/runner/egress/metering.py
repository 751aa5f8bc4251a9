"""What a response cost, read from its own totals as the bytes pass. Pure: bytes in, totals out; never trusts the sandbox.

A stream repeats its totals. The largest value seen of each counts, so an event that is repeated or out of order neither adds twice nor
hides anything. An answer that shows none, because it broke off or they are too long to be kept, is charged by its length; one that was cut
before its last totals, by the text of it that passed; one that says itself that it failed costs what it shows.
"""

import json
from dataclasses import dataclass, field, replace
from typing import Any, cast

from services.runner.egress.vendors.pricing import FREE, Tokens
from services.runner.egress.vendors.vendor import Checked, Vendor

MAX_LINE = 4 * 1024 * 1024
"""A line of a stream longer than this is not kept for reading; usage events are a few hundred bytes."""
BYTES_PER_TOKEN = 4
MOST_TOKENS = 1_000_000_000
"""Of one answer: an upstream that somebody stored an address of can say any number."""


@dataclass(frozen=True)
class Spent:
    """What one request came to."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0


NOTHING = Spent()


def unanswered(checked: Checked) -> Spent:
    """What a request costs that was sent and then given up: the vendor has read it, whatever it wrote."""
    tokens = Tokens(fresh=0 if checked.price == FREE else len(checked.body) // BYTES_PER_TOKEN)
    return Spent(tokens.input, 0, checked.price.cost_usd(tokens))


@dataclass
class ResponseMeter:
    """Reads one response. Feed it every chunk, then ask what was spent."""

    vendor: Vendor
    checked: Checked
    stream: bool
    _totals: dict[str, int] = field(default_factory=dict[str, int])
    failure: int = 0
    """The status that the answer itself says it ended with, after it had begun as a good one; 0 where it says nothing of the kind."""
    _rest: bytes = b""
    _bytes: int = 0
    _written: int = 0
    """Bytes of the text itself, as far as a stream has spelt it out."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        self._bytes += len(chunk)
        self._rest += chunk
        if not self.stream:
            self._rest = self._rest[-MAX_LINE:] if len(self._rest) > MAX_LINE else self._rest
            return
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            self._line(line)
        if len(self._rest) > MAX_LINE:
            self._rest = b""

    def finish(self, *, cut: bool = False) -> Spent:
        """Read what is left, at the end of the body or where it was cut; what it all came to.

        The totals of an answer that begins say one token of output, and the vendor charges for all it wrote until it was cut.
        """
        self._line(self._rest if self.stream else b"data: " + self._rest)
        self._rest = b""
        tokens = self.vendor.tokens(self._totals) if self._totals else self._guessed()
        if cut and not self.failure and self.checked.price != FREE:
            tokens = replace(tokens, output=max(tokens.output, self._written // BYTES_PER_TOKEN))
        return Spent(tokens.input, tokens.output, self.checked.price.cost_usd(tokens))

    @property
    def understood(self) -> bool:
        """Whether this was an answer of the vendor's: every one that costs something says how much."""
        return bool(self._totals) or self.checked.price == FREE

    def _guessed(self) -> Tokens:
        """A stream spells out far more bytes than its text has, which stands for the thinking that nobody saw."""
        if self.checked.price == FREE or self.failure:
            return Tokens()
        return Tokens(fresh=len(self.checked.body) // BYTES_PER_TOKEN, output=self._bytes // BYTES_PER_TOKEN)

    def _line(self, line: bytes) -> None:
        if not line.startswith(b"data:") or not any(name in line for name in (b'"usage"', b'"error"', b'"delta"')):
            return
        try:
            event: Any = json.loads(line[5:])
        except (ValueError, RecursionError):
            return  # cut short, or not ours to read
        if isinstance(event, dict):
            if self.stream:
                self.failure = self.vendor.failure(cast("dict[str, Any]", event)) or self.failure
                self._written += len(self.vendor.written(cast("dict[str, Any]", event)).encode("utf-8", "surrogatepass"))
            for name, count in self.vendor.totals(cast("dict[str, Any]", event)).items():
                self._totals[name] = max(min(count, MOST_TOKENS), self._totals.get(name, 0))
