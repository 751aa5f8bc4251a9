from pathlib import Path

from services.runner.egress import prices_page

PAGE = Path(__file__).parents[5] / "docs" / "prices.md"


def test_the_page_of_prices_is_made_from_the_list() -> None:
    assert PAGE.read_text() == prices_page.render(), "run: python -m services.runner.egress.prices_page > docs/prices.md"
