"""The address of a model API: one spelling, and nothing that two readers could read differently."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.credentials.base_urls import normalised


@pytest.mark.parametrize(
    ("given_", "spelt"),
    [
        ("https://Models.Example/", "https://models.example"),
        ("https://models.example:8443/openai/v2/", "https://models.example:8443/openai/v2"),
        ("http://10.0.0.5:8000", "http://10.0.0.5:8000"),
        ("http://[fd00::1]:8000", "http://[fd00::1]:8000"),
    ],
)
def test_one_spelling(given_: str, spelt: str) -> None:
    assert normalised(given_) == spelt == normalised(spelt)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "models.example",
        "ftp://models.example",
        "https://",
        "https://key@models.example",
        "https://models.example?key=1",
        "https://models.example#x",
        "https://models.example/../x",
        "https://models.example/a%2fb",
        "https://models.example//x",
        "https://models.example:99999",
        "https://mod els.example",
        "https://models.example\\@other.example",
        "https://-models.example",
        "https://m\u00f6dels.example",
        "https://models.example/" + "x" * 300,
    ],
)
def test_what_is_no_address_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="must be as"):
        normalised(wrong)


@given(st.text(max_size=40))
def test_no_text_breaks_it(text: str) -> None:
    try:
        assert normalised("https://" + text).startswith("https://")
    except ValueError:
        return
