"""`/v1/tokens`: for signed-in people alone, so that no token begets another or outlives its revocation."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Response, status

from services.gateway.api_tokens import form, queries
from services.gateway.api_tokens.schemas import ApiToken, CreatedToken, NewToken
from services.gateway.errors import Conflict, NotFound
from services.gateway.identity import claims
from services.gateway.paging import Page, Window, window
from services.gateway.parts import CallerOf, PartsOf
from shared.events import envelope, ids
from shared.events.facts import TokenCreated, TokenRevoked
from shared.events.ids import TokenId
from shared.telemetry import redaction

router = APIRouter(prefix="/v1/tokens", tags=["tokens"])

MOST: Final = 100
"""Of one owner at a time; more than that nobody keeps an eye on."""


@router.post("", status_code=status.HTTP_201_CREATED)
async def create(parts: PartsOf, caller: CallerOf, new: NewToken) -> CreatedToken:
    """Make a token for a machine. It is shown in this answer and never again.

    No `Idempotency-Key`: the answer would have to be kept, and the token with it.
    """
    token = form.fresh()
    token_id = TokenId(ids.fresh())
    with redaction.forgotten(token):
        async with parts.database.transaction(claims(caller.owner)) as connection:
            if await queries.count(connection, caller.owner) >= MOST:
                raise Conflict(f"You have {MOST} API tokens already. Revoke one that is not used any more.")
            stored = await queries.insert(connection, caller.owner, token_id, new, prefix=form.shown(token), digest=form.digest(token))
            fact = TokenCreated(token_id=token_id, scopes=stored.scopes, expires_at=stored.expires_at)
            await parts.outbox.enqueue(connection, envelope.new(fact, source="gateway", owner=caller.owner))
    return CreatedToken(**dict(stored), token=token)


@router.get("")
async def page(parts: PartsOf, caller: CallerOf, part: Annotated[Window, Depends(window)]) -> Page[ApiToken]:
    """Your tokens, newest first, without themselves; also those that were revoked or have expired, for a month."""
    async with parts.database.transaction(claims(caller.owner)) as connection:
        found = await queries.page(connection, caller.owner, part)
    return Page(items=found[: part.limit], next_cursor=part.next_cursor([(row.created_at, row.id) for row in found]))


@router.delete("/{token_id}", status_code=status.HTTP_204_NO_CONTENT)
async def revoke(parts: PartsOf, caller: CallerOf, token_id: TokenId) -> Response:
    """Revoke a token. Once this answers it opens nothing any more, at any replica; streams that it opened end."""
    async with parts.database.transaction(claims(caller.owner)) as connection:
        revoked = await queries.revoke(connection, caller.owner, token_id)
        if revoked is None:
            raise NotFound
        if revoked:
            fact = TokenRevoked(token_id=token_id)
            await parts.outbox.enqueue(connection, envelope.new(fact, source="gateway", owner=caller.owner))
    return Response(status_code=status.HTTP_204_NO_CONTENT)
