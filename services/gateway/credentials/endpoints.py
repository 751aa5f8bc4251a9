"""`/v1/credentials`. A value is redacted from before anything is done with it, sealed at once, and never stands anywhere in the clear."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response, status

from services.gateway.agents import Agent
from services.gateway.credentials import queries
from services.gateway.credentials.schemas import Credential, NewCredential
from services.gateway.errors import FieldError, NotFound, invalid
from services.gateway.identity import claims
from services.gateway.paging import Page, Window, window
from services.gateway.parts import CallerOf, Parts, PartsOf
from services.gateway.projects import queries as projects
from services.gateway.tokens import Caller
from shared.events import envelope, ids
from shared.events.facts import CredentialDeleted, CredentialStored
from shared.events.ids import CredentialId
from shared.events.values import Purpose
from shared.secrets import Context, key_id, model_place, seal
from shared.telemetry import redaction

router = APIRouter(prefix="/v1/credentials", tags=["credentials"])

FIRST_VERSION = 1


@router.post("", status_code=status.HTTP_201_CREATED)
async def create(parts: PartsOf, caller: CallerOf, new: NewCredential) -> Credential:
    """Store a secret for the one service that will use it. It cannot be read back."""
    with redaction.forgotten(new.value.get_secret_value()):
        return await _stored(parts, caller, new)


async def _stored(parts: Parts, caller: Caller, new: NewCredential) -> Credential:
    _check_place(new, parts.settings.agents)
    credential_id = CredentialId(ids.fresh())
    place = model_place(new.vendor, new.base_url) if new.vendor is not None else ""
    context = Context(purpose=new.purpose, owner=caller.owner, credential_id=credential_id, version=FIRST_VERSION, place=place)
    sealed = seal(parts.keys[new.purpose], new.value.get_secret_value().encode(), context)
    async with parts.database.transaction(claims(caller.owner)) as connection:
        if new.project_id is not None and await projects.get(connection, caller.owner, new.project_id) is None:
            message = "There is no such project, or it is not yours."
            raise NotFound(message, errors=(FieldError("body.project_id", "not_found", message),))
        stored = await queries.insert(
            connection, caller.owner, credential_id, new, version=FIRST_VERSION, key_id=key_id(sealed), sealed=sealed
        )
        fact = CredentialStored(credential_id=credential_id, version=FIRST_VERSION, purpose=new.purpose)
        await parts.outbox.enqueue(connection, envelope.new(fact, source="gateway", owner=caller.owner))
    return stored


@router.get("")
async def page(parts: PartsOf, caller: CallerOf, part: Annotated[Window, Depends(window)]) -> Page[Credential]:
    """Your credentials without their values, newest first."""
    async with parts.database.transaction(claims(caller.owner)) as connection:
        found = await queries.page(connection, caller.owner, part)
    return Page(items=found[: part.limit], next_cursor=part.next_cursor([(row.created_at, row.id) for row in found]))


@router.delete("/{credential_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete(parts: PartsOf, caller: CallerOf, credential_id: CredentialId) -> Response:
    """Forget a credential: nothing can open it again, also for tasks on their way."""
    async with parts.database.transaction(claims(caller.owner)) as connection:
        if not await queries.delete(connection, caller.owner, credential_id):
            raise NotFound
        fact = CredentialDeleted(credential_id=credential_id)
        await parts.outbox.enqueue(connection, envelope.new(fact, source="gateway", owner=caller.owner))
    return Response(status_code=status.HTTP_204_NO_CONTENT)


def _check_place(new: NewCredential, agents: tuple[Agent, ...]) -> None:
    """A git token is for a host, a model key for a vendor."""
    if new.purpose is Purpose.GIT_TOKEN and new.vendor is not None:
        raise invalid("body.vendor", "only_model_key", "is only for a model_key")
    if new.purpose is Purpose.GIT_TOKEN and new.base_url is not None:
        raise invalid("body.base_url", "only_model_key", "is only for a model_key")
    if new.purpose is Purpose.MODEL_KEY and new.host is not None:
        raise invalid("body.host", "only_git_token", "is only for a git_token")
    vendors = sorted({agent.vendor for agent in agents if agent.vendor is not None})
    if new.purpose is Purpose.MODEL_KEY and new.vendor not in vendors:
        raise invalid("body.vendor", "unknown_vendor", f"must be one of: {', '.join(vendors)}")
