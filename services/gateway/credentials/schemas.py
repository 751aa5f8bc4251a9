"""What a credential looks like from outside: everything but its value, which can be written and never read."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, StringConstraints
from pydantic_core import PydanticCustomError

from services.gateway.credentials import base_urls
from services.gateway.repositories.urls import HOST
from services.gateway.text import Line, Request, Resource
from shared.events.ids import CredentialId, ProjectId
from shared.events.values import Purpose

MAX_VALUE_CHARS = 8_192
"""GitHub's installation tokens have about 520 characters; some vendors' keys are signed tokens."""

Vendor = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]


def _visible_ascii(value: SecretStr) -> SecretStr:
    """A token goes into an HTTP header: nothing else may come with it."""
    text = value.get_secret_value()
    if not 1 <= len(text) <= MAX_VALUE_CHARS or any(not "!" <= character <= "~" for character in text):
        rule = "must be 1 to {max_chars} visible ASCII characters, without spaces or line ends"
        raise PydanticCustomError("credential_value", rule, {"max_chars": MAX_VALUE_CHARS})
    return value


def _host(text: str) -> str:
    name, _, port = text.lower().rpartition(":") if text.rpartition(":")[2].isdecimal() else (text.lower(), "", "")
    if HOST.fullmatch(name) is None or (port and int(port) > 65_535):  # noqa: PLR2004 - the highest port
        raise PydanticCustomError("host", "must be a host, or host:port, as in the repository's address")
    return text.lower()


class NewCredential(Request):
    """A secret to store."""

    purpose: Purpose
    value: Annotated[SecretStr, AfterValidator(_visible_ascii), Field(description="Sealed at once; never shown again.")]
    host: Annotated[
        Annotated[str, StringConstraints(max_length=260), AfterValidator(_host)] | None,
        Field(description="Of a git_token: it is used for this host by itself; without one only where a task names the credential."),
    ] = None
    vendor: Annotated[Vendor | None, Field(description="Of a model_key, as `anthropic` or `openai`: GET /v1/agents names them.")] = None
    base_url: Annotated[
        Annotated[str, AfterValidator(base_urls.normalised)] | None,
        Field(
            description="Of a model_key: another address that speaks as the vendor's API does, without `/v1`. The key goes nowhere else."
        ),
    ] = None
    project_id: Annotated[ProjectId | None, Field(description="Use it for this project's tasks alone.")] = None
    label: Annotated[Line | None, Field(description="For you to tell it apart.")] = None


class Credential(Resource):
    """A stored secret, without it."""

    id: CredentialId
    purpose: Purpose
    host: str | None
    vendor: str | None
    base_url: str | None
    project_id: ProjectId | None
    label: str | None
    version: int
    created_at: datetime
