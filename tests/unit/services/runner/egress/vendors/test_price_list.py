"""Prices are data: whole or refused at the start, and an operator's rows count before the shipped ones."""

from pathlib import Path

import pytest

from services.runner.egress.vendors import price_list
from services.runner.egress.vendors.anthropic import prices as anthropic
from services.runner.egress.vendors.openai import prices as openai
from services.runner.egress.vendors.pricing import FREE, Tokens
from services.runner.egress.vendors.vendor import Refused

OWN = """
[openai]
as_of = 2026-11-22
source = "our own server"
long_tokens = 1_000_000

[openai.models]
"gpt-5" = { input = 7, output = 8, cache_read = 1, cache_write = 7 }
"local-coder" = { input = 0, output = 0, cache_read = 0, cache_write = 0 }
"""
SOME = Tokens(fresh=1_000_000, output=1_000_000)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(OWN)
    return path


def test_an_operator_s_rows_count_before_the_shipped_ones(own: Path) -> None:
    listed, shipped = price_list.load(own), price_list.load()
    assert openai.price(listed["openai"], "gpt-5").cost_usd(SOME) == 15.0, "by its own row and its own long_tokens"
    assert openai.price(listed["openai"], "local-coder").cost_usd(SOME) == FREE.cost_usd(SOME)
    assert listed["openai"].models.keys() > shipped["openai"].models.keys()
    assert (listed["openai"].source, listed["anthropic"]) == ("our own server", shipped["anthropic"])


def test_a_model_without_a_price_is_the_dearest_or_refused(own: Path) -> None:
    assert anthropic.price(price_list.load()["anthropic"], "claude-next") == price_list.load()["anthropic"].dearest
    strict = price_list.load(own, refuses_unknown=True)
    for refused in (lambda: anthropic.price(strict["anthropic"], "x"), lambda: openai.price(strict["openai"], "local-coder-2")):
        with pytest.raises(Refused, match="model_unpriced"):
            refused()


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("[openai]", "[nobody]"),
        ("[openai.models]", "[openai.modules]"),
        ("input = 7", "input = -7"),
        ("input = 7", "input = nan"),
        ("as_of = 2026-11-22", ""),
        ("output = 8, ", ""),
    ],
)
def test_a_file_that_says_no_prices_stops_the_start(own: Path, wrong: str, right: str) -> None:
    own.write_text(OWN.replace(wrong, right).replace("[openai.models]", "[nobody.models]" if right == "[nobody]" else "[openai.models]"))
    with pytest.raises(ValueError):  # noqa: PT011 - whichever part says so
        price_list.load(own)


def test_every_vendor_s_rows_have_a_date_and_a_source() -> None:
    assert {vendor: bool(listed.source) for vendor, listed in price_list.load().items()} == {"anthropic": True, "openai": True}
