"""What Anthropic's tokens cost, as data with a date. A model that is not listed is priced at the dearest, so a budget never holds too late.

List prices in US dollars for a million tokens, from the vendor's public price list and the agent's own table.
"""

from services.runner.egress.vendors.pricing import Price

AS_OF = "2026-11-01"


def _row(fresh: float, output: float) -> Price:
    """Writing the cache costs 1.25 times the input, 2 times for an hour: usage does not always tell which. Reading it costs a tenth."""
    return Price(fresh, output, cache_written=2 * fresh, cache_read=0.1 * fresh, long_tokens=200_000)


PRICES: dict[str, Price] = {
    "claude-opus-5-5": _row(4, 20),
    "claude-opus-4-8": _row(5, 25),
    "claude-opus-4-5": _row(5, 25),
    "claude-opus-4": _row(15, 75),
    "claude-sonnet": _row(3, 15),
    "claude-haiku": _row(1, 5),
    "claude-3-5-haiku": _row(0.8, 4),
}
"""By the longest prefix of the model's name."""

DEAREST = max(PRICES.values(), key=lambda price: price.output)
FAST = 6.0
"""What the vendor takes more for `speed: fast`, at most (some models: 2 times)."""


def price(model: str, *, fast: bool = False) -> Price:
    """The price of `model`; the dearest where it is unknown."""
    known = [name for name in PRICES if model.startswith(name)]
    found = PRICES[max(known, key=len)] if known else DEAREST
    return found.times(FAST) if fast else found
