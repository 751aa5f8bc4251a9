"""The page that explains the messages says what the code says."""

from shared.events import page


def test_the_event_table_is_the_code_s() -> None:
    text = page.PAGE.read_text()
    assert page.replaced(text) == text, "run: python -m shared.events.page"
