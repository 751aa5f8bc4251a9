"""Who asks: the `Authorization` header as a verified caller, and that caller as the database's row-level security sees it."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import structlog

from services.gateway.errors import Unauthenticated
from services.gateway.jwks import KeySource
from services.gateway.tokens import Caller, Fault, InvalidToken, Policy, read_header, verify
from shared.events.ids import OwnerId

log = structlog.get_logger(__name__)

_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="async-code"'}
_INVALID: Final = {"WWW-Authenticate": 'Bearer realm="async-code", error="invalid_token"'}


def claims(owner: OwnerId | str) -> Mapping[str, str]:
    """What a transaction on behalf of `owner` claims: their rows and no others can be seen or written in it."""
    return {"sub": str(owner), "role": "authenticated"}


class Verifier:
    """Turns the `Authorization` header into a caller."""

    def __init__(self, keys: KeySource, policy: Policy, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._keys = keys
        self._policy = policy
        self._clock = clock

    async def caller(self, authorization: str | None) -> Caller:
        """Raises Unauthenticated (RFC 6750 §3), or Unavailable when the signing keys cannot be had."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated(headers=_CHALLENGE)
        try:
            return await self._verified(token.strip())
        except InvalidToken as refusal:
            log.warning("token_refused", fault=refusal.fault)
            raise Unauthenticated(str(refusal), headers=_INVALID) from refusal

    async def _verified(self, token: str) -> Caller:
        header = read_header(token, self._policy)
        key = await self._keys.key(header.key_id)
        if key is None:
            raise InvalidToken(Fault.UNKNOWN_KEY)
        return verify(token, header, key, self._policy, self._clock())
