"""What OpenAI's tokens cost, as data with a date. A model that is not listed is priced at the dearest, so a budget never holds too late.

List prices in US dollars for a million tokens, as the vendor's price list and the models' pages say them for the standard tier.
"""

import re

from services.runner.egress.vendors.pricing import Price

AS_OF = "2026-11-05"


def _row(fresh: float, cache_read: float, output: float, *, cache_written: float | None = None) -> Price:
    """Older models write their cache for the price of reading. Requests that read more than 272,000 tokens cost more."""
    return Price(fresh, output, cache_written=fresh if cache_written is None else cache_written, cache_read=cache_read, long_tokens=272_000)


PRICES: dict[str, Price] = {
    "gpt-6-astra": _row(10, 1, 50, cache_written=12.5),
    "gpt-6.1-sol": _row(2, 0.1, 10, cache_written=2.5),
    "gpt-6-sol": _row(2, 0.2, 10, cache_written=2.5),
    "gpt-6-luna": _row(0.1, 0.01, 0.5, cache_written=0.125),
    "gpt-5.6-sol": _row(4, 0.4, 20),
    "gpt-5.6-terra": _row(2, 0.2, 12),
    "gpt-5.6-luna": _row(0.2, 0.02, 1.2),
    "gpt-5.5": _row(5, 0.5, 30),
    "gpt-5.4-pro": _row(30, 30, 180),
    "gpt-5.4": _row(2.5, 0.25, 15),
    "gpt-5.4-mini": _row(0.75, 0.075, 4.5),
    "gpt-5.3-codex": _row(1.75, 0.175, 14),
    "gpt-5.2-codex": _row(1.75, 0.175, 14),
    "gpt-5.2": _row(1.75, 0.175, 14),
    "gpt-5.1-codex-max": _row(1.25, 0.125, 10),
    "gpt-5.1-codex": _row(1.25, 0.125, 10),
    "gpt-5.1": _row(1.25, 0.125, 10),
    "gpt-5-codex": _row(1.25, 0.125, 10),
    "gpt-5": _row(1.25, 0.125, 10),
    "gpt-5-mini": _row(0.25, 0.025, 2),
}
"""By name; a snapshot's date may follow it. Not by prefix: a longer name is another model, often a dearer one."""

DEAREST = max(PRICES.values(), key=lambda price: price.output)
PRIORITY = 2.5
"""What the vendor takes more for faster tiers, at most (newer models: 2 times)."""
_DATE = re.compile(r"-20\d\d-\d\d-\d\d$")


def price(model: str, *, priority: bool = False) -> Price:
    """The price of `model`; the dearest where it is unknown."""
    found = PRICES.get(_DATE.sub("", model), DEAREST)
    return found.times(PRIORITY) if priority else found
