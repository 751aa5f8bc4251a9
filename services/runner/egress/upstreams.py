"""Every vendor there is, and where the operator has its API lie."""

from dataclasses import dataclass

from services.runner.egress import connections
from services.runner.egress.settings import EgressSettings
from services.runner.egress.vendors.anthropic.vendor import Anthropic
from services.runner.egress.vendors.openai.vendor import OpenAI
from services.runner.egress.vendors.price_list import PriceLists
from services.runner.egress.vendors.vendor import Vendor


class UnknownVendor(ValueError):
    """No model API of this vendor can be reached from here."""


@dataclass(frozen=True)
class Upstream:
    """The one place a door leads to."""

    vendor: Vendor
    base_url: str


def of(name: str, settings: EgressSettings, prices: PriceLists, base_url: str | None = None) -> Upstream:
    """The vendor's upstream, or another that speaks as it does. Raises UnknownVendor, AddressRefused."""
    if base_url is not None:
        connections.admit(base_url, settings)
    match name:
        case "anthropic":
            return Upstream(Anthropic(prices[name]), base_url or settings.anthropic_base_url)
        case "openai":
            return Upstream(OpenAI(prices[name]), base_url or settings.openai_base_url)
        case _:
            raise UnknownVendor(name)
