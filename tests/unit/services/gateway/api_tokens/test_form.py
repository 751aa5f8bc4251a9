"""The text of a token: exact, and no mistyped one passes for a token."""

import zlib

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.api_tokens import form

ZEROS = "acp_" + "0" * 30
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def test_the_form_is_exact() -> None:
    # CRC32 of thirty zeros, written out by hand: the form must never change, or every token of every deployment is malformed.
    number, digits = zlib.crc32(b"0" * 30), ""
    while number:
        number, digit = divmod(number, 62)
        digits = ALPHABET[digit] + digits
    assert form.is_well_formed(ZEROS + digits.rjust(6, "0"))
    assert ZEROS + digits.rjust(6, "0") == "acp_0000000000000000000000000000002C8GjS"


def test_tokens_are_well_formed_and_never_the_same() -> None:
    made = {form.fresh() for _ in range(1000)}
    assert len(made) == 1000
    for token in made:
        assert form.is_meant(token)
        assert form.is_well_formed(token)
        assert len(token) == 40
    assert {len(form.digest(token)) for token in made} == {32}
    assert {len(form.shown(token)) for token in made} == {8}


@given(st.integers(0, 39), st.sampled_from(ALPHABET + " _-\n\u00e9"))
def test_no_mistyped_character_passes(place: int, character: str) -> None:
    token = form.fresh()
    mistyped = token[:place] + character + token[place + 1 :]
    assert form.is_well_formed(mistyped) == (mistyped == token)


def test_what_is_cut_or_has_more_is_no_token() -> None:
    token = form.fresh()
    for wrong in ("", "acp", "acp_", token[:-1], token[1:], token + "0", token + "\n", f" {token}", "ACP_" + token[4:], "acp_" + token):
        assert not form.is_well_formed(wrong)


@given(st.text(max_size=60))
def test_no_text_is_a_token(text: str) -> None:
    assert not form.is_well_formed(text)
    assert not form.is_well_formed(form.MARK + text)
