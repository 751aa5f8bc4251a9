"""Whether an API token is genuine and may do what is asked.

Looked up each time, with no cache: what is revoked on one replica opens nothing on another from the next request on. What was never
issued and what was revoked are refused in the same words, so that nobody learns of a token that was once good; only the log and the trail
tell them apart. Only who has a token that exists can make a fact, and that once an hour: a stranger cannot fill the trail.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import structlog

from services.gateway.access import Need, Who
from services.gateway.api_tokens import form
from services.gateway.api_tokens.grants import Fault, Grant, Grants
from services.gateway.errors import InsufficientScope, PersonNeeded, TokenExpired, TokenMalformed, TokenUnknown, Unauthenticated
from services.gateway.tokens import Caller
from shared.events.values import TokenScope

INVALID: Final = {"WWW-Authenticate": 'Bearer realm="async-code", error="invalid_token"'}
_ROLE: Final = "authenticated"
_REFUSALS: Final[Mapping[Fault, type[Unauthenticated]]] = {
    Fault.MALFORMED: TokenMalformed,
    Fault.UNKNOWN: TokenUnknown,
    Fault.REVOKED: TokenUnknown,
    Fault.EXPIRED: TokenExpired,
}

log = structlog.get_logger(__name__)


class ApiTokens:
    """Turns API tokens into callers, and holds them to their scopes."""

    def __init__(self, grants: Grants, clock: Callable[[], datetime]) -> None:
        self._grants = grants
        self._clock = clock

    async def caller(self, token: str) -> Caller:
        """The owner of the token, as far as it goes. Raises Unauthenticated."""
        if not form.is_well_formed(token):
            raise _refusal(Fault.MALFORMED)
        found = await self._grants.find(form.digest(token))
        if found is None:
            raise _refusal(Fault.UNKNOWN)
        if wrong := found.ended(self._clock()):
            refusal = _refusal(Fault(wrong), found)
            await self._grants.refused(found, wrong)
            raise refusal
        if found.use_is_news:
            await self._grants.used(found)
        return Caller(found.owner, None, _ROLE, None, found.expires_at, api_token=found)

    async def admit(self, grant: Grant, need: Need) -> None:
        """Raises InsufficientScope or PersonNeeded where this token may not do what needs `need`."""
        if need is Who.CALLER or need in grant.scopes:
            return
        log.warning("token_refused", fault="scope", token_id=grant.token_id, owner=grant.owner, need=need)
        await self._grants.refused(grant, "scope")
        if isinstance(need, TokenScope):
            raise InsufficientScope(
                f"This needs an API token with the scope {need}; yours has {', '.join(sorted(grant.scopes))}.",
                headers={"WWW-Authenticate": f'Bearer realm="async-code", error="insufficient_scope", scope="{need}"'},  # RFC 6750 §3.1
            )
        raise PersonNeeded


def _refusal(fault_: Fault, found: Grant | None = None) -> Unauthenticated:
    """Logged at once: the trail may not be there to be told."""
    known = {} if found is None else {"token_id": found.token_id, "owner": found.owner}
    log.warning("token_refused", fault=fault_, **known)
    return _REFUSALS[fault_](headers=INVALID)
