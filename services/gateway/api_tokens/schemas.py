"""What an API token looks like from outside: everything but the token, which is shown once, to who made it."""

from datetime import datetime
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from services.gateway.text import Line, Request, Resource
from shared.events.ids import TokenId
from shared.events.values import TokenScope

DAY_SECONDS: Final = 86_400
MAX_SECONDS: Final = 366 * DAY_SECONDS
"""Nothing lives for ever: a token that nobody remembers must not either."""


def _ordered(scopes: list[TokenScope]) -> list[TokenScope]:
    return sorted(set(scopes))


class NewToken(Request):
    """A token to make."""

    name: Annotated[Line, Field(description="For you to tell it apart, as `nightly build`.")]
    scopes: Annotated[
        list[TokenScope],
        Field(min_length=1, max_length=16, description="What it may do, and nothing else: no scope includes another."),
        AfterValidator(_ordered),
    ]
    expires_in_seconds: Annotated[int, Field(ge=60, le=MAX_SECONDS, description="A year at most.")] = 90 * DAY_SECONDS


class ApiToken(Resource):
    """An API token, without it."""

    id: TokenId
    name: str
    prefix: Annotated[str, Field(description="How the token begins.")]
    scopes: tuple[TokenScope, ...]
    created_at: datetime
    expires_at: datetime
    last_used_at: Annotated[datetime | None, Field(description="To the minute.")]
    revoked_at: datetime | None


class CreatedToken(ApiToken):
    """An API token, this once with it."""

    token: Annotated[str, Field(description="Shown now and never again.")]
