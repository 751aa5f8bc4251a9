"""The table of prices as data: read, checked, behind an operator's file. A budget must never hold too late for want of a row.

Shipped as `prices.toml` beside this file, with the date and the source of each vendor's rows.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from services.runner.egress.vendors.pricing import Price
from services.runner.egress.vendors.vendor import Refused

SHIPPED_FILE = Path(__file__).with_name("prices.toml")
Usd = Annotated[float, Field(ge=0, le=100_000)]


class _Row(BaseModel):
    """US dollars for a million tokens."""

    model_config = ConfigDict(extra="forbid")

    input: Usd
    output: Usd
    cache_read: Usd
    cache_write: Usd


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid")

    as_of: date
    source: Annotated[str, Field(min_length=1, max_length=300)]
    long_tokens: Annotated[int, Field(ge=1)]
    models: Annotated[dict[str, _Row], Field(min_length=1)]


@dataclass(frozen=True)
class PriceList:
    """One vendor's prices."""

    as_of: date
    source: str
    models: Mapping[str, Price]
    refuses_unknown: bool = False
    """Otherwise a model that is not listed is priced at the dearest."""

    @property
    def dearest(self) -> Price:
        """By its output, and by its input where that is the same."""
        return max(self.models.values(), key=lambda price: (price.output, price.fresh))

    def unknown(self) -> Price:
        """The price of a model that is not listed. Raises Refused."""
        if self.refuses_unknown:
            raise Refused("model_unpriced")
        return self.dearest


PriceLists = Mapping[str, PriceList]
"""By vendor."""


def read(text: str, *, refuses_unknown: bool = False) -> dict[str, PriceList]:
    """The lists in a file. Raises ValueError, which names what breaks its form."""
    tables: dict[str, Any] = tomllib.loads(text)
    return {vendor: _list(_Table.model_validate(table), refuses_unknown) for vendor, table in tables.items()}


def load(operators: Path | None = None, *, refuses_unknown: bool = False) -> PriceLists:
    """The shipped lists, behind the operator's: model by model, so that a file with one row changes one price."""
    lists = read(SHIPPED_FILE.read_text(), refuses_unknown=refuses_unknown)
    own = read(operators.read_text(), refuses_unknown=refuses_unknown) if operators is not None else {}
    if strangers := own.keys() - lists.keys():
        raise ValueError(f"no such vendor: {', '.join(sorted(strangers))}")
    return {vendor: _behind(lists[vendor], own.get(vendor)) for vendor in lists}


def _behind(shipped: PriceList, own: PriceList | None) -> PriceList:
    if own is None:
        return shipped
    return PriceList(own.as_of, own.source, {**shipped.models, **own.models}, shipped.refuses_unknown)


def _list(table: _Table, refuses_unknown: bool) -> PriceList:
    models = {
        name: Price(row.input, row.output, cache_written=row.cache_write, cache_read=row.cache_read, long_tokens=table.long_tokens)
        for name, row in table.models.items()
    }
    return PriceList(table.as_of, table.source, models, refuses_unknown)
