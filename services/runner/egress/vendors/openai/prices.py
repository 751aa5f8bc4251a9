"""What a request to OpenAI costs: which row of the price list is its model's, and what the vendor takes more. Pure."""

import re

from services.runner.egress.vendors.price_list import PriceList
from services.runner.egress.vendors.pricing import Price

PRIORITY = 2.5
"""What the vendor takes more for faster tiers, at most (newer models: 2 times)."""
_DATE = re.compile(r"-20\d\d-\d\d-\d\d$")


def price(listed: PriceList, model: str, *, priority: bool = False) -> Price:
    """The price of `model`, by its name without a snapshot's date. Raises Refused where it is unknown and such are refused."""
    found = listed.models.get(_DATE.sub("", model)) or listed.unknown()
    return found.times(PRIORITY) if priority else found
