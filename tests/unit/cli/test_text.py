import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.printing import clean
from cli.text import block, count, cut, escape_json, line

HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
HOSTILE = st.text(
    st.one_of(st.characters(), st.characters(categories=["Cc", "Cf", "Zl", "Zp"]), st.sampled_from("\x1b\x9b\u202e\u2066\r\n[]/\\"))
)


def harmless(text: str) -> bool:
    """Nothing in it moves a cursor, hides or reorders."""
    return all(char in "\t\n" or unicodedata.category(char) not in HIDDEN for char in text)


@given(HOSTILE)
def test_what_is_cleaned_is_harmless_and_keeps_every_other_letter(text: str) -> None:
    cleaned = clean(text)
    assert harmless(cleaned)
    rest = iter(cleaned)
    assert all(char in rest for char in text if harmless(char))


@given(HOSTILE)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"])))
def test_ordinary_text_of_any_language_stays_as_it_is(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", "␛]8;;https://evil.example␛\\link␛]8;;␛\\"),
        ("\x1b]52;c;cm0gLXJm\x07", "␛]52;c;cm0gLXJm␇"),
        ("a\rb", "a␍b"),
        ("\x9b2J", "⟨U+009B⟩2J"),
        ("user\u202etxt.exe", "user⟨U+202E⟩txt.exe"),
        ("zero\u200bwidth", "zero⟨U+200B⟩width"),
        ("tag\U000e0041", "tag⟨U+E0041⟩"),
        ("\x7f", "␡"),
        ("half\ud800", "half⟨U+D800⟩"),
        ("two\u2028lines", "two⟨U+2028⟩lines"),
        ("Grüße, 世界 — עברית\tok\n", "Grüße, 世界 — עברית\tok\n"),
    ],
)
def test_what_is_hidden_is_named(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(HOSTILE, st.integers(1, 50))
def test_a_line_is_one_line_and_not_longer_than_asked(text: str, limit: int) -> None:
    shown = line(text, limit)
    assert harmless(shown)
    assert not set(shown) & {"\n", "\t"}
    assert len(shown) <= limit


def test_what_is_cut_off_is_said() -> None:
    assert line("x" * 300, 10) == "xxxxxxxxx…"
    assert cut("x" * 12, 10) == "xxxxxxxxxx… 2 more characters"
    assert block("a\nb\nc\nd", lines=2, columns=10) == "a\nb\n… 2 more lines"
    assert (count(1, "file"), count(2_000, "file"), count(2, "entry", "entries")) == ("1 file", "2,000 files", "2 entries")


@given(HOSTILE, st.integers(1, 5), st.integers(1, 20))
def test_a_block_is_bounded(text: str, lines: int, columns: int) -> None:
    shown = block(text, lines=lines, columns=columns)
    assert harmless(shown)
    assert len(shown.split("\n")) <= lines + 1


@given(st.recursive(HOSTILE, lambda inner: st.lists(inner) | st.dictionaries(HOSTILE, inner)))
def test_json_says_exactly_the_same_and_is_harmless(value: object) -> None:
    for indent in (None, 2):
        for ascii_only in (False, True):
            escaped = escape_json(json.dumps(value, ensure_ascii=ascii_only, indent=indent))
            assert json.loads(escaped) == value
            assert harmless(escaped)
