"""What a request to Anthropic costs: which row of the price list is its model's, and what the vendor takes more. Pure."""

from services.runner.egress.vendors.price_list import PriceList
from services.runner.egress.vendors.pricing import Price

FAST = 6.0
"""What the vendor takes more for `speed: fast`, at most (some models: 2 times)."""


def price(listed: PriceList, model: str, *, fast: bool = False) -> Price:
    """The price of `model`, by the longest beginning of its name. Raises Refused where it is unknown and such are refused."""
    known = [name for name in listed.models if model.startswith(name)]
    found = listed.models[max(known, key=len)] if known else listed.unknown()
    return found.times(FAST) if fast else found
