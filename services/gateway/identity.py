"""Who asks: the `Authorization` header as a verified caller, and that caller as the database's row-level security sees it."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import structlog

from services.gateway.access import Need
from services.gateway.api_tokens import form
from services.gateway.api_tokens.grants import Grants
from services.gateway.api_tokens.verification import INVALID, ApiTokens
from services.gateway.errors import Unauthenticated
from services.gateway.jwks import KeySource
from services.gateway.tokens import Caller, Fault, InvalidToken, Policy, read_header, verify
from shared.events.ids import OwnerId

log = structlog.get_logger(__name__)

_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="async-code"'}


def claims(owner: OwnerId | str) -> Mapping[str, str]:
    """What a transaction on behalf of `owner` claims: their rows and no others can be seen or written in it."""
    return {"sub": str(owner), "role": "authenticated"}


class Verifier:
    """Turns the `Authorization` header into a caller: a person by a JSON Web Token, a machine by an API token."""

    def __init__(self, keys: KeySource, policy: Policy, grants: Grants, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._keys = keys
        self._policy = policy
        self._api_tokens = ApiTokens(grants, clock)
        self._clock = clock

    async def caller(self, authorization: str | None, need: Need | None) -> Caller:
        """Who asks, if they may ask for what needs `need`; None: for something that no row of the table allows.

        Raises Unauthenticated (RFC 6750 §3), InsufficientScope, PersonNeeded, or Unavailable when the signing keys cannot be had.
        """
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated(headers=_CHALLENGE)
        if not form.is_meant(token):
            return await self._person(token)
        caller = await self._api_tokens.caller(token)
        if caller.api_token is not None and need is not None:
            await self._api_tokens.admit(caller.api_token, need)
        return caller

    async def _person(self, token: str) -> Caller:
        try:
            return await self._verified(token)
        except InvalidToken as refusal:
            log.warning("token_refused", fault=refusal.fault)
            raise Unauthenticated(str(refusal), headers=INVALID) from refusal

    async def _verified(self, token: str) -> Caller:
        header = read_header(token, self._policy)
        key = await self._keys.key(header.key_id)
        if key is None:
            raise InvalidToken(Fault.UNKNOWN_KEY)
        return verify(token, header, key, self._policy, self._clock())
