"""What the runner and the egress process say to each other over the control socket; the runner holds ciphertext only."""

from typing import Annotated, Self

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_serializer, model_validator

from shared.events.ids import CredentialId, OwnerId, RunId
from shared.events.payload import Value
from shared.events.values import Ecosystem

PLACE = r"^place-[0-9a-f]{32}$"
"""The name of a directory made for a door to come."""


class OpenDoor(BaseModel):
    """Ask for a way out for one attempt of a run. Asking again for the same attempt gives the same door, also after a restart."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: RunId
    fence: Annotated[int, Field(ge=1)]
    vendor: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")] | None = None
    """Whose API it leads to: the credential's, and no other. None: to no model's."""
    token: Annotated[SecretStr, Field(min_length=32, max_length=256)]
    """What the sandbox will show; made by the runner for this attempt, worth nothing elsewhere."""
    owner: OwnerId
    credential_id: CredentialId | None = None
    version: Annotated[int, Field(ge=1)] = 1
    sealed: Base64Bytes = b""
    base_url: Annotated[str, StringConstraints(max_length=300, pattern=r"^https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~-]+)*$")] | None = None
    """Where the key was stored for, when not for its vendor's own API; it was sealed with it."""
    max_cost_usd: Annotated[float, Field(ge=0)]
    """0 where attempts before this one have used it up: nothing is let through."""
    max_answers: Annotated[int, Field(ge=0)] | None = None
    """Of the model, for an agent that does not keep to its turns by itself."""
    place: Annotated[str, StringConstraints(pattern=PLACE)] | None = None
    """Where, if a sandbox has a place mounted already."""
    packages: tuple[Ecosystem, ...] = ()
    """The families of packages that may be read through it."""

    @model_validator(mode="after")
    def _with_its_key(self) -> Self:
        if self.vendor is not None and self.credential_id is None:
            raise ValueError("a door to a model needs a key")
        return self

    @field_serializer("token", when_used="json")
    def _token(self, token: SecretStr) -> str:
        return token.get_secret_value()


class OpenedDoor(Value):
    """The directory to mount read-only into the sandbox; `socket_name` is the socket in it."""

    directory: str
    socket_name: str


class MadePlace(Value):
    """A directory to mount read-only into a sandbox, in which a door may be opened later."""

    name: Annotated[str, StringConstraints(pattern=PLACE)]
    directory: str


class RefusedRequest(Value):
    """A kind of request the sandbox made and did not get."""

    reason: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    request_digest: str
    ecosystem: Ecosystem | None = None
    host: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,253}$")] | None = None


class DoorReport(Value):
    """What a door has let through so far."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    requests: int = 0
    answers: int = 0
    upstream_status: int = 0
    trouble: str = ""
    silent_seconds: float = 0.0
    exhausted: bool = False
    refusals: tuple[RefusedRequest, ...] = ()
