"""The exact table: what is let in, and what each broken token is refused for."""

import base64
import json
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, Key, OctKey, RSAKey

from services.gateway.tokens import Caller, Fault, InvalidToken, Policy, read_header, verify

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
POLICY = Policy(issuer="https://auth.example.com/auth/v1")
SUBJECT = "11111111-2222-4333-8444-555555555555"
EC = ECKey.generate_key("P-256", {"kid": "ec", "use": "sig"})
P384 = ECKey.generate_key("P-384", {"kid": "ec"})
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
with warnings.catch_warnings(action="ignore", category=SecurityWarning):  # the library warns of it too
    SMALL_RSA = RSAKey.generate_key(1024, {"kid": "rsa"})
ENCRYPTION = ECKey.import_key({**EC.as_dict(private=True), "use": "enc"})
OTHER_EC = ECKey.generate_key("P-256", {"kid": "ec"})


def claims(**changes: Any) -> dict[str, Any]:
    whole = {
        "iss": POLICY.issuer,
        "aud": "authenticated",
        "exp": NOW.timestamp() + 600,
        "iat": NOW.timestamp() - 5,
        "sub": SUBJECT,
        "role": "authenticated",
        "session_id": "66666666-7777-4888-8999-000000000000",
        "email": "test@example.com",
    }
    return {name: value for name, value in (whole | changes).items() if value is not ...}


def signed(content: dict[str, Any] | None = None, *, key: Key = EC, header: dict[str, Any] | None = None) -> str:
    chosen = {"alg": "RS256" if isinstance(key, RSAKey) else "ES256", "kid": "rsa" if isinstance(key, RSAKey) else "ec"}
    whole = {name: value for name, value in (chosen | (header or {})).items() if value is not ...}
    return jwt.encode(whole, content or claims(), key, algorithms=[str(whole["alg"])])


def unsigned(header: dict[str, Any], content: dict[str, Any] | None = None) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, content or claims())]
    return ".".join([*parts, ""])


def checked(token: str, key: Key = EC, policy: Policy = POLICY) -> Caller:
    return verify(token, read_header(token, policy), key, policy, NOW)


def public(key: Key) -> Key:
    return type(key).import_key(key.as_dict(private=False))  # pyright: ignore[reportReturnType, reportArgumentType, reportCallIssue]


def test_a_genuine_token_gives_its_caller() -> None:
    caller = checked(signed(), public(EC))
    assert (caller.owner, caller.email, caller.role) == (SUBJECT, "test@example.com", "authenticated")
    assert caller.expires_at.timestamp() == NOW.timestamp() + 600
    assert checked(signed(key=RSA), public(RSA)).owner == SUBJECT
    assert checked(signed(claims(aud=["other", "authenticated"]))).owner == SUBJECT
    assert checked(signed(claims(email=...))).email is None


def hmac_with_the_public_key() -> str:
    secret = OctKey.import_key(json.dumps(RSA.as_dict(private=False)))
    return jwt.encode({"alg": "HS256", "kid": "rsa"}, claims(), secret, algorithms=["HS256"])


REFUSED: dict[str, tuple[Callable[[], str], Fault]] = {
    "empty": (lambda: "", Fault.MALFORMED),
    "no JWT": (lambda: "abc", Fault.MALFORMED),
    "two dots of nothing": (lambda: "..", Fault.MALFORMED),
    "not ASCII": (lambda: "é.é.é", Fault.MALFORMED),
    "too long": (lambda: "a" * 20_000, Fault.MALFORMED),
    "alg none": (lambda: unsigned({"alg": "none", "kid": "ec"}), Fault.ALGORITHM),
    "alg None": (lambda: unsigned({"alg": None, "kid": "ec"}), Fault.ALGORITHM),
    "alg nOnE": (lambda: unsigned({"alg": "nOnE", "kid": "ec"}), Fault.ALGORITHM),
    "HS256 with the public key": (hmac_with_the_public_key, Fault.ALGORITHM),
    "ES384": (lambda: unsigned({"alg": "ES384", "kid": "ec"}), Fault.ALGORITHM),
    "no kid": (lambda: signed(header={"kid": ...}), Fault.KEY_ID),
    "empty kid": (lambda: signed(header={"kid": ""}), Fault.KEY_ID),
    "RS256 named with an EC key": (lambda: unsigned({"alg": "RS256", "kid": "ec"}), Fault.KEY_TYPE),
    "another's signature": (lambda: signed(key=OTHER_EC), Fault.SIGNATURE),
    "no signature": (lambda: unsigned({"alg": "ES256", "kid": "ec"}), Fault.SIGNATURE),
    "other issuer": (lambda: signed(claims(iss="https://evil.example/auth/v1")), Fault.ISSUER),
    "issuer with a slash more": (lambda: signed(claims(iss=POLICY.issuer + "/")), Fault.ISSUER),
    "no issuer": (lambda: signed(claims(iss=...)), Fault.ISSUER),
    "other audience": (lambda: signed(claims(aud="anon")), Fault.AUDIENCE),
    "no audience": (lambda: signed(claims(aud=...)), Fault.AUDIENCE),
    "audience within a text": (lambda: signed(claims(aud="not authenticated")), Fault.AUDIENCE),
    "expired": (lambda: signed(claims(exp=NOW.timestamp() - 11)), Fault.EXPIRED),
    "no exp": (lambda: signed(claims(exp=...)), Fault.TIMES),
    "exp as text": (lambda: signed(claims(exp="9999999999")), Fault.TIMES),
    "exp true": (lambda: signed(claims(exp=True)), Fault.TIMES),
    "exp huge": (lambda: signed(claims(exp=10**400)), Fault.TIMES),
    "no iat": (lambda: signed(claims(iat=...)), Fault.TIMES),
    "issued in the future": (lambda: signed(claims(iat=NOW.timestamp() + 60)), Fault.NOT_YET),
    "not before later": (lambda: signed(claims(nbf=NOW.timestamp() + 60)), Fault.NOT_YET),
    "service role": (lambda: signed(claims(role="service_role")), Fault.ROLE),
    "no role": (lambda: signed(claims(role=...)), Fault.ROLE),
    "no sub": (lambda: signed(claims(sub=...)), Fault.SUBJECT),
    "sub no UUID": (lambda: signed(claims(sub="admin")), Fault.SUBJECT),
    "sub in capitals": (lambda: signed(claims(sub="AAAAAAAA-2222-4333-8444-555555555555")), Fault.SUBJECT),
    "no session": (lambda: signed(claims(session_id=...)), Fault.SESSION),
    "session no UUID": (lambda: signed(claims(session_id=7)), Fault.SESSION),
}


@pytest.mark.parametrize(("make", "fault"), REFUSED.values(), ids=REFUSED.keys())
def test_a_broken_token_is_refused_for_its_fault(make: Callable[[], str], fault: Fault) -> None:
    with pytest.raises(InvalidToken) as refused:
        checked(make(), public(EC))
    assert refused.value.fault is fault


@pytest.mark.parametrize("key", [SMALL_RSA, P384, ENCRYPTION, OctKey.generate_key(256)], ids=["RSA-1024", "P-384", "use enc", "oct"])
def test_a_key_that_does_not_fit_the_algorithm_is_refused(key: Key) -> None:
    token = signed(key=RSA) if isinstance(key, RSAKey) else signed()
    with pytest.raises(InvalidToken) as refused:
        checked(token, key)
    assert refused.value.fault is Fault.KEY_TYPE


def test_a_critical_header_nobody_knows_is_refused() -> None:
    head, body, signature = signed().split(".")
    del head
    strange = base64.urlsafe_b64encode(b'{"alg":"ES256","kid":"ec","crit":["x"],"x":1}').rstrip(b"=").decode()
    with pytest.raises(InvalidToken):
        checked(f"{strange}.{body}.{signature}")


def test_the_clocks_may_differ_by_the_leeway_and_no_more() -> None:
    assert checked(signed(claims(exp=NOW.timestamp() - 9))).owner == SUBJECT
    assert checked(signed(claims(iat=NOW.timestamp() + 9))).owner == SUBJECT


@given(st.text(max_size=200))
def test_no_text_is_a_token(text: str) -> None:
    with pytest.raises(InvalidToken):
        checked(text)


@given(st.integers(0, 400), st.integers(0, 255))
def test_no_changed_byte_survives(place: int, byte: int) -> None:
    token = bytearray(GENUINE)
    before = token[place % len(token)]
    token[place % len(token)] = byte
    try:
        checked(token.decode("latin-1"))
    except InvalidToken:
        return
    # The last character of a part holds bits that decode to nothing: then the token says the same.
    assert byte == before or chr(before).isalnum() or chr(before) in "-_"
    assert checked(token.decode("latin-1")) == checked(GENUINE.decode())


GENUINE = signed().encode()
