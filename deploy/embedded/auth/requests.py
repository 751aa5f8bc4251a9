"""What comes in: bodies read with a limit and checked before anything is done with them."""

import re
from typing import Annotated, Any, TypeVar

from fastapi import Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from deploy.embedded.auth.errors import BadJson, ValidationFailed
from deploy.embedded.auth.metadata import storable
from deploy.embedded.auth.passwords import MAX_LENGTH

MAX_BODY_BYTES = 64 * 1024
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[a-z0-9](?:[a-z0-9.-]{0,188}[a-z0-9])?")

M = TypeVar("M", bound=BaseModel)


def _email(text: str) -> str:
    lowered = text.strip().lower()
    if _EMAIL.fullmatch(lowered) is None:
        raise ValueError("an e-mail address is expected")
    return lowered


Email = Annotated[str, Field(max_length=254), AfterValidator(_email)]
Password = Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)]
Metadata = Annotated[dict[str, JsonValue], AfterValidator(storable)]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class SignUp(_Body):
    """POST /signup."""

    email: Email
    password: Password
    data: Metadata | None = None


class PasswordGrant(_Body):
    """POST /token?grant_type=password. No rule but presence: a malformed address is wrong credentials."""

    email: Annotated[str, Field(max_length=1_024)]
    password: Annotated[str, Field(max_length=MAX_LENGTH)]


class RefreshGrant(_Body):
    """POST /token?grant_type=refresh_token."""

    refresh_token: Annotated[str, Field(min_length=1, max_length=1_024)]


class Change(_Body):
    """PUT /user."""

    email: Email | None = None
    password: Password | None = None
    data: Metadata | None = None


async def body(request: Request, model: type[M]) -> M:
    """The body as `model`. Raises BadJson, ValidationFailed."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY_BYTES:
            raise BadJson(f"The body is larger than {MAX_BODY_BYTES} bytes")
    try:
        return model.model_validate_json(bytes(raw) or b"{}")
    except ValidationError as error:
        first: Any = error.errors(include_input=False, include_url=False)[0]
        if first["type"] == "json_invalid":
            raise BadJson from error
        raise ValidationFailed(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
