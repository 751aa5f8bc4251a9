"""What a token costs, as data with a date. A model that is not listed is priced at the dearest, so a budget never holds too late.

List prices in US dollars for a million tokens, from the vendor's public price list and the agent's own table.
"""

from dataclasses import dataclass

AS_OF = "2026-11-01"


@dataclass(frozen=True)
class Price:
    """Dollars for a million tokens. Writing the cache costs 1.25 times the input (2 times for an hour), reading it a tenth."""

    input: float
    output: float


PRICES: dict[str, Price] = {
    "claude-opus-5-5": Price(4, 20),
    "claude-opus-4-8": Price(5, 25),
    "claude-opus-4-5": Price(5, 25),
    "claude-opus-4": Price(15, 75),
    "claude-sonnet": Price(3, 15),
    "claude-haiku": Price(1, 5),
    "claude-3-5-haiku": Price(0.8, 4),
}
"""By the longest prefix of the model's name."""

DEAREST = max(PRICES.values(), key=lambda price: price.output)
MILLION = 1_000_000


def price(model: str) -> Price:
    """The price of `model`; the dearest where it is unknown."""
    known = [name for name in PRICES if model.startswith(name)]
    return PRICES[max(known, key=len)] if known else DEAREST


FAST = 6.0
"""What the vendor takes more for `speed: fast`, at most (some models: 2 times)."""
LONG_CONTEXT_TOKENS = 200_000
LONG_CONTEXT_INPUT, LONG_CONTEXT_OUTPUT = 2.0, 1.5
"""What some models cost more once a request reads more than that."""


def cost_usd(model: str, *, fresh: int, cache_written: int, cache_read: int, output: int, fast: bool = False) -> float:
    """What these tokens cost. Cache writes are taken at the dearer, one-hour rate: usage does not always tell which it was."""
    rate = price(model)
    long = fresh + cache_written + cache_read > LONG_CONTEXT_TOKENS
    read = (fresh + cache_written * 2 + cache_read * 0.1) * rate.input * (LONG_CONTEXT_INPUT if long else 1.0)
    written = output * rate.output * (LONG_CONTEXT_OUTPUT if long else 1.0)
    return (read + written) * (FAST if fast else 1.0) / MILLION
