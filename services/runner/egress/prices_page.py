"""docs/prices.md, made from the price list: `python -m services.runner.egress.prices_page > docs/prices.md`. A test compares the two."""

import sys

from services.runner.egress.vendors import price_list
from services.runner.egress.vendors.price_list import PriceList

_HEAD = """# What models cost

Made from `services/runner/egress/vendors/prices.toml` by `python -m services.runner.egress.prices_page`; a test fails when the two differ.
US dollars for a million tokens; list prices, without discounts. A run is charged by these, from the totals in its model's answers.

An operator's file of the same form (`EGRESS_PRICES_FILE`, TOML) comes before it, model by model; it says its own `as_of` and `source`:

```toml
[openai]
as_of = 2026-11-22
source = "our own model server"
long_tokens = 272_000 # requests that read more cost twice the input and half as much again of the output

[openai.models]
"local-coder" = { input = 0, output = 0, cache_read = 0, cache_write = 0 }
```

A model that is not listed is priced at the vendor's dearest, so that a budget never holds too late; with
`EGRESS_UNKNOWN_MODEL=refuse` it is refused (`model_unpriced`). Anthropic's rows are found by the longest beginning of a name, OpenAI's by
the whole name without a snapshot's date.
Faster service costs more on top: `speed: fast` 6 times, priority tiers 2.5 times, which is the most that the vendors take.
"""


def _section(vendor: str, listed: PriceList) -> list[str]:
    rows = [
        f"| `{name}` | {price.fresh:g} | {price.output:g} | {price.cache_read:g} | {price.cache_written:g} |"
        for name, price in listed.models.items()
    ]
    source = f"As of {listed.as_of.isoformat()}, from {listed.source}."
    return [f"## {vendor}", "", source, "", "| model | input | output | cache read | cache write |", "|---|---|---|---|---|", *rows, ""]


def render() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(line for vendor, listed in price_list.load().items() for line in _section(vendor, listed))])


if __name__ == "__main__":
    sys.stdout.write(render())
