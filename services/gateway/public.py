"""What is not about one thing: where to sign in, who you are, which agents there are."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from services.gateway.parts import CallerOf, PartsOf
from services.gateway.text import Resource
from shared.events.ids import OwnerId, TokenId
from shared.events.values import Effort, TokenScope

router = APIRouter(tags=["general"])


class Root(Resource):
    """Where to go from here."""

    name: str = "async-code"
    openapi: str = "/v1/openapi.json"
    auth: str = "/v1/auth"


class SignIn(Resource):
    """The identity provider: `POST {auth_url}/token?grant_type=password` and on, as any Supabase client does."""

    issuer: Annotated[str, Field(description="`iss` of the tokens this server accepts.")]
    auth_url: str


class Me(Resource):
    """The caller, as the token says."""

    id: OwnerId
    email: str | None
    role: str
    session_id: Annotated[str | None, Field(description="Null: a machine, with an API token.")]
    expires_at: Annotated[str, Field(description="When the token ends.", json_schema_extra={"format": "date-time"})]
    token_id: Annotated[TokenId | None, Field(description="Of the API token.")]
    scopes: Annotated[list[TokenScope] | None, Field(description="All that the API token may be used for; null: a person, who may do all.")]


class AgentInfo(Resource):
    """An agent a task can name."""

    name: str
    vendor: Annotated[str | None, Field(description="Whose model key it needs; null: none.")]
    models: list[str]
    options: Annotated[list[str], Field(description="The options it knows; any other is refused.")]
    efforts: Annotated[list[Effort], Field(description="What `effort` can be.")]
    tools: Annotated[list[str], Field(description="What `allowed_tools` can name.")]


class Agents(Resource):
    """Every agent of this deployment."""

    items: list[AgentInfo]


@router.get("/")
async def root() -> Root:
    """Where to go from here."""
    return Root()


@router.get("/v1/auth")
async def auth(parts: PartsOf) -> SignIn:
    """Where to sign in."""
    return SignIn(issuer=parts.settings.auth_issuer, auth_url=parts.settings.auth_public_url or parts.settings.auth_issuer)


@router.get("/v1/me")
async def me(caller: CallerOf) -> Me:
    """Who you are."""
    grant = caller.api_token
    return Me(
        id=caller.owner,
        email=caller.email,
        role=caller.role,
        session_id=caller.session_id,
        expires_at=caller.expires_at.isoformat(),
        token_id=grant and grant.token_id,
        scopes=None if grant is None else sorted(grant.scopes),
    )


@router.get("/v1/agents")
async def agents(parts: PartsOf, _caller: CallerOf) -> Agents:
    """The agents a task can name."""
    return Agents(
        items=[
            AgentInfo(
                name=agent.name,
                vendor=agent.vendor,
                models=list(agent.models),
                options=list(agent.options),
                efforts=list(agent.efforts),
                tools=list(agent.tools),
            )
            for agent in parts.settings.agents
        ]
    )
