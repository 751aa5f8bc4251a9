"""A secret that was named, or that looks like one, survives nowhere."""

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretBytes, SecretStr

from shared.telemetry import redaction
from shared.telemetry.redaction import REDACTED, forget, redact, redact_text

KEY = "AKIAIOSFODNN7EXAMPLE"
JWT = "eyJhbGciOiJFUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJ4In0.c2lnbmF0dXJlLW9mLWl0"
SEED = "SUAM" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" * 2
PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIBgo\n-----END PRIVATE KEY-----"

LOOKS_LIKE_ONE = {
    "sk-ant-api03-abcDEF123_-xyz": "key sk-ant-api03-abcDEF123_-xyz used",
    "sk-proj-abcdefghijklmnop1234": "sk-proj-abcdefghijklmnop1234",
    "ghp_0123456789abcdefghijABCDEFGHIJ012345": "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "gho_0123456789abcdefghijABCDEFGHIJ012345": "x=gho_0123456789abcdefghijABCDEFGHIJ012345;",
    "ghs_0123456789.abcdefghij_ABCDEFGHIJ.0123456789": '"ghs_0123456789.abcdefghij_ABCDEFGHIJ.0123456789"',
    "github_pat_11ABCDEFG0123456789_abcdefghijkl": "github_pat_11ABCDEFG0123456789_abcdefghijkl",
    "glpat-abcdefghij0123456789": "glpat-abcdefghij0123456789",
    "acp_0123456789abcdefghijABCDEFGHIJ012345": "(acp_0123456789abcdefghijABCDEFGHIJ012345)",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "c2VjcmV0LXRva2Vu": "Authorization: Bearer c2VjcmV0LXRva2Vu",
    "dXNlcjpwYXNzd29yZA==": "authorization: basic dXNlcjpwYXNzd29yZA==",
    JWT: f"token {JWT} is bad",
    "user:hunter2": "https://user:hunter2@example.com/repo.git?x=1",
    "x-access-token:abc": "fatal: could not read 'http://x-access-token:abc@host'",
    SEED[:58]: f"seed {SEED[:58]}.",
    "MC4CAQAwBQYDK2VwBCIEIBgo": f"before {PEM} after",
    "MC4CAQAwBQYDK2VwBCIEIBgo==": "-----BEGIN EC PRIVATE KEY-----\\nMC4CAQAwBQYDK2VwBCIEIBgo==",
    KEY: KEY,
}


@pytest.fixture(autouse=True)
def nothing_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_forgotten", {})
    monkeypatch.setattr(redaction, "_spellings", ())


@pytest.mark.parametrize("secret", LOOKS_LIKE_ONE)
def test_what_looks_like_a_key_is_taken_out(secret: str) -> None:
    text = redact_text(LOOKS_LIKE_ONE[secret])
    assert secret not in text
    assert REDACTED in text


@pytest.mark.parametrize(
    "text",
    [
        "task-queue-length-is-sixteen-or-more",
        "risk-assessment-of-something-long",
        "6b0c2ea1-0b4e-4f0e-9d0a-0a4a2b1d7f11",
        "https://example.com/a@b",
        "git@github.com:owner/repository.git",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "evt.run.started.6b0c2ea1-0b4e-4f0e-9d0a-0a4a2b1d7f11.-",
    ],
)
def test_what_is_no_key_stays(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize("name", ["password", "api_key", "X-Api-Key", "refresh_token", "Set-Cookie", "AUTHORIZATION", "client_secret"])
def test_the_value_of_a_secrets_name_is_taken_out_whatever_it_is(name: str) -> None:
    assert redact({name: "short"}) == {name: REDACTED}


def test_counts_and_flags_stay() -> None:
    value = {"input_tokens": 17, "token": None, "has_password": True, "seconds": 1.5}
    assert redact(value) == value


def test_numbers_json_has_not_become_text() -> None:
    assert json.loads(json.dumps(redact({"ratio": float("nan")}), allow_nan=False)) == {"ratio": "nan"}


def test_what_contains_itself_ends() -> None:
    loop: list[Any] = []
    loop.append(loop)
    json.dumps(redact({"loop": loop}))


def test_an_object_that_cannot_be_shown_stops_nothing() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    assert redact({"it": Broken()}) == {"it": "<Broken that cannot be shown>"}


def test_the_oldest_secret_makes_room_and_memory_stays_bounded() -> None:
    for number in range(600):
        forget(f"secret-number-{number:04}")
    assert redact_text("secret-number-0599") == REDACTED
    assert redact_text("secret-number-0000") == "secret-number-0000"


def test_what_is_too_short_to_be_a_secret_takes_nothing_out() -> None:
    forget("the")
    forget("redacted")
    assert redact_text("the text [redacted]") == "the text [redacted]"


def only(secret: str | bytes | SecretBytes) -> None:
    redaction._forgotten.clear()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    forget(secret)


secrets = st.text(min_size=redaction.SHORTEST, max_size=60).filter(
    lambda text: text.strip() == text and text not in REDACTED and REDACTED not in text
)
around = st.text(max_size=20)

SPELLINGS: list[Callable[[str], str]] = [
    str,
    lambda secret: base64.b64encode(secret.encode()).decode(),
    lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    quote,
    lambda secret: quote(secret, safe="").lower() if secret.islower() else quote(secret, safe=""),
    quote_plus,
    lambda secret: secret.encode().hex(),
    lambda secret: json.dumps(secret)[1:-1],
    lambda secret: repr(secret)[1:-1],
    lambda secret: repr(secret.encode())[2:-1],
]

WRAPPINGS: list[Callable[[str, str, str], Any]] = [
    lambda before, text, after: before + text + after,
    lambda before, text, after: {before + text + after: 1},
    lambda before, text, after: {"outer": [{"inner": (before, text, after)}]},
    lambda before, text, after: (before + text + after).encode(),
    lambda _before, text, after: ValueError(text, after),
    lambda _before, text, _after: {text},
]


@given(secret=secrets, before=around, after=around, spelling=st.sampled_from(SPELLINGS), wrapping=st.sampled_from(WRAPPINGS))
def test_a_named_secret_survives_nowhere(
    secret: str, before: str, after: str, spelling: Callable[[str], str], wrapping: Callable[[str, str, str], Any]
) -> None:
    only(secret)
    written = spelling(secret)
    redacted = redact(wrapping(before, written, after))
    assert written not in _leaves(redacted)
    assert secret not in _leaves(redacted)


@given(user=st.text(max_size=20), secret=st.text(min_size=12, max_size=60), after=st.text(max_size=5))
def test_a_named_secret_survives_in_no_part_of_a_base64(user: str, secret: str, after: str) -> None:
    only(secret)
    encoded = base64.b64encode(f"{user}:{secret}{after}".encode()).decode()
    redacted = redact_text(encoded)
    assert redacted != encoded
    for readable in redacted.split(REDACTED):
        for start in range(4):
            part = readable[start:]
            assert secret.encode() not in base64.b64decode(part[: len(part) // 4 * 4] + "", validate=False)


@pytest.mark.parametrize("before", range(6))
@pytest.mark.parametrize("after", range(3))
def test_of_a_base64_at_most_a_character_of_the_secret_is_left_at_each_end(before: int, after: int) -> None:
    forget("a-secret-in-the-middle")
    encoded = base64.b64encode(b"x" * before + b"a-secret-in-the-middle" + b"y" * after).decode()
    left = redact_text(encoded).split(REDACTED)
    assert len(left) == 2
    assert len(left[0]) <= before * 4 // 3 + 1
    assert len(left[1].rstrip("=")) <= after * 4 // 3 + 2


@given(secret=st.binary(min_size=8, max_size=40))
@example(b"\x00\x00\xc2\x80\x00\xc2\x80\x00")
def test_bytes_can_be_secrets_too(secret: bytes) -> None:
    only(SecretBytes(secret))
    text = redact(b"before " + secret + b" after")
    assert secret.decode("utf-8", "backslashreplace") not in text
    assert base64.b64encode(secret).decode() not in redact_text(base64.b64encode(secret).decode())


def test_a_settings_secret_can_be_named_as_it_is() -> None:
    forget(SecretStr("a-settings-secret"))
    assert redact_text("it is a-settings-secret") == f"it is {REDACTED}"


def _leaves(value: Any) -> str:
    if isinstance(value, dict):
        return "\0".join(_leaves(part) for pair in value.items() for part in pair)  # type: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return "\0".join(_leaves(part) for part in value)  # type: ignore[reportUnknownVariableType]
    return str(value)


def test_a_secret_for_a_block_is_looked_for_in_it_and_no_longer() -> None:
    """Handed in as a secret for good, a word of our own lines would be missing in all of them."""
    with redaction.forgotten("request_done"):
        assert redact({"event": "request_done"}) == {"event": REDACTED}
    assert redact({"event": "request_done"}) == {"event": "request_done"}
    with pytest.raises(ValueError, match="x"), redaction.forgotten("request_done"):
        raise ValueError("x")
    assert redact_text("request_done") == "request_done"
