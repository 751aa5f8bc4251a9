"""Whether an access token is genuine and meant for us: every check on a Supabase Auth JWT, without I/O.

It must never trust anything of a token before its signature held, and never let the token choose how it is checked: the algorithms are
configuration, each is bound to one type of key (RFC 8725 §3.1, §3.2), and only asymmetric ones are known, so that a published key can
never serve as an HMAC secret.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, cast

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, RSAKey

from services.gateway.api_tokens.grants import Grant
from shared.events.ids import OwnerId, is_uuid

MAX_TOKEN_CHARS: Final = 16_384
"""GoTrue's tokens are about 1 kB; user metadata can make them larger."""

MIN_RSA_BITS: Final = 2048
"""NIST SP 800-131A: smaller RSA keys are disallowed."""

KEY_TYPES: Final[Mapping[str, type[ECKey] | type[RSAKey]]] = {"ES256": ECKey, "RS256": RSAKey}


class Fault(StrEnum):
    """Why a token is refused."""

    MALFORMED = "malformed"
    ALGORITHM = "algorithm"
    KEY_ID = "key_id"
    UNKNOWN_KEY = "unknown_key"
    KEY_TYPE = "key_type"
    SIGNATURE = "signature"
    ISSUER = "issuer"
    AUDIENCE = "audience"
    EXPIRED = "expired"
    NOT_YET = "not_yet"
    TIMES = "times"
    ROLE = "role"
    SUBJECT = "subject"
    SESSION = "session"


_ADVICE: Final[Mapping[Fault, str]] = {
    Fault.MALFORMED: "The access token is not a JSON Web Token.",
    Fault.ALGORITHM: "The access token is signed with an algorithm this server does not accept.",
    Fault.KEY_ID: "The access token names no signing key.",
    Fault.UNKNOWN_KEY: "The access token is signed with a key the auth server does not publish.",
    Fault.KEY_TYPE: "The access token's algorithm does not fit its signing key.",
    Fault.SIGNATURE: "The access token's signature is wrong.",
    Fault.ISSUER: "The access token was issued by another server.",
    Fault.AUDIENCE: "The access token is meant for another audience.",
    Fault.EXPIRED: "The access token has expired.",
    Fault.NOT_YET: "The access token is not valid yet.",
    Fault.TIMES: "The access token lacks its times of issue and expiry.",
    Fault.ROLE: "The access token's role may not use this API.",
    Fault.SUBJECT: "The access token names no user.",
    Fault.SESSION: "The access token names no session.",
}


class InvalidToken(Exception):
    """The access token is refused."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(_ADVICE[fault])
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Policy:
    """What this deployment accepts. `leeway_seconds` covers the clocks' difference, nothing more."""

    issuer: str
    audience: str = "authenticated"
    role: str = "authenticated"
    algorithms: frozenset[str] = frozenset(KEY_TYPES)
    leeway_seconds: int = 10


@dataclass(frozen=True, slots=True)
class Header:
    """What a token says about its own signature, unverified: enough to look the key up."""

    algorithm: str
    key_id: str


@dataclass(frozen=True, slots=True)
class Caller:
    """A signed-in person, or a machine in a person's name, by a token that passed every check."""

    owner: OwnerId
    session_id: str | None
    """None: a machine."""
    role: str
    email: str | None
    expires_at: datetime
    api_token: Grant | None = None
    """What a machine may do at most. None: a person."""


def read_header(token: str, policy: Policy) -> Header:
    """The token's algorithm and key id. Raises InvalidToken when they are not such as the policy accepts."""
    if len(token) > MAX_TOKEN_CHARS or not token.isascii():
        raise InvalidToken(Fault.MALFORMED)
    try:
        header = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError, RecursionError) as error:
        raise InvalidToken(Fault.MALFORMED) from error
    algorithm, key_id = cast("object", header.get("alg")), cast("object", header.get("kid"))
    if not isinstance(algorithm, str) or algorithm not in policy.algorithms or algorithm not in KEY_TYPES:
        raise InvalidToken(Fault.ALGORITHM)
    if not isinstance(key_id, str) or not key_id:
        raise InvalidToken(Fault.KEY_ID)
    return Header(algorithm, key_id)


def verify(token: str, header: Header, key: Key, policy: Policy, now: datetime) -> Caller:
    """The caller behind `token`, checked with the published `key` its header names. Raises InvalidToken."""
    _check_key(key, header.algorithm)
    try:
        claims = jwt.decode(token, key, algorithms=[header.algorithm]).claims
    except (JoseError, ValueError, RecursionError) as error:
        raise InvalidToken(Fault.SIGNATURE) from error
    if claims.get("iss") != policy.issuer:
        raise InvalidToken(Fault.ISSUER)
    if not _names(claims.get("aud"), policy.audience):
        raise InvalidToken(Fault.AUDIENCE)
    expires_at = _check_times(claims, policy, now.timestamp())
    if claims.get("role") != policy.role:
        raise InvalidToken(Fault.ROLE)
    email = claims.get("email")
    return Caller(
        owner=OwnerId(_uuid(claims.get("sub"), Fault.SUBJECT)),
        session_id=_uuid(claims.get("session_id"), Fault.SESSION),
        role=policy.role,
        email=email if isinstance(email, str) and email else None,
        expires_at=datetime.fromtimestamp(expires_at, UTC),
    )


def _check_key(key: Key, algorithm: str) -> None:
    fits = isinstance(key, KEY_TYPES[algorithm])
    if isinstance(key, ECKey):
        fits = fits and key.curve_name == "P-256"
    if isinstance(key, RSAKey):
        fits = fits and key.public_key.key_size >= MIN_RSA_BITS
    if not fits or key.get("use", "sig") != "sig" or key.get("alg", algorithm) != algorithm:
        raise InvalidToken(Fault.KEY_TYPE)


def _names(audience: Any, wanted: str) -> bool:
    if isinstance(audience, str):
        return audience == wanted
    return isinstance(audience, list) and wanted in cast("list[object]", audience)


def _check_times(claims: Mapping[str, Any], policy: Policy, now: float) -> float:
    issued_at, expires_at = _time(claims.get("iat")), _time(claims.get("exp"))
    not_before = issued_at if "nbf" not in claims else _time(claims["nbf"])
    if expires_at + policy.leeway_seconds <= now:
        raise InvalidToken(Fault.EXPIRED)
    if max(issued_at, not_before) - policy.leeway_seconds > now:
        raise InvalidToken(Fault.NOT_YET)
    return expires_at


def _time(value: Any) -> float:
    """A NumericDate (RFC 7519 §2) within the years a datetime can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 2**37:
        raise InvalidToken(Fault.TIMES)
    return float(value)


def _uuid(value: Any, fault: Fault) -> str:
    if not isinstance(value, str) or not is_uuid(value):
        raise InvalidToken(fault)
    return value
