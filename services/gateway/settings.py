"""The gateway's own variables (`GATEWAY_…`). It holds no secret: two public keys seal what it stores."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.gateway.agents import DEFAULT_AGENTS, Agent
from services.gateway.ceilings import Ceilings
from services.gateway.tokens import KEY_TYPES
from shared.events.values import Ecosystem

_HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$")]
_Scheme = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9+.-]*$")]


class Settings(BaseSettings):
    """Where the gateway listens, whom it believes, what it lets in."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", frozen=True)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8080

    auth_issuer: _HttpUrl
    """`iss` of the tokens, exactly; also where people sign in."""
    auth_jwks_url: _HttpUrl
    auth_public_url: _HttpUrl | None = None
    """Where clients reach the auth server, when it is not the issuer."""
    auth_algorithms: frozenset[str] = frozenset(KEY_TYPES)
    auth_leeway_seconds: Annotated[int, Field(ge=0, le=60)] = 10
    jwks_max_age_seconds: Annotated[float, Field(gt=0)] = 600
    jwks_refresh_seconds: Annotated[float, Field(gt=0)] = 10
    """The least time between two fetches that unknown key ids force."""

    git_public_key_file: Path
    egress_public_key_file: Path

    allow_repository_schemes: tuple[_Scheme, ...] = ("https",)
    """Of a repository's address; the git service judges the rest."""
    agents: tuple[Agent, ...] = DEFAULT_AGENTS
    max_limits: Ceilings = Ceilings()
    """The most a task may ask for."""
    packages: frozenset[Ecosystem] = frozenset()
    """Whose packages this deployment's sandboxes can be let read; a project may allow no others."""
    environment_images: tuple[str, ...] = ()
    """Patterns (`*`, `?`) of images that a project may name in place of its agent's; none by default. The runner holds to its own list."""

    max_body_bytes: Annotated[int, Field(ge=1_024)] = 1_048_576
    """A prompt of 100 kB can take 600 kB as escaped JSON."""
    body_timeout_seconds: Annotated[float, Field(gt=0)] = 20
    max_transcript_bytes: Annotated[int, Field(ge=1)] = 64 * 1_048_576
    max_changes_bytes: Annotated[int, Field(ge=1)] = 64 * 1_048_576

    max_streams: Annotated[int, Field(ge=1)] = 1_000
    max_streams_per_owner: Annotated[int, Field(ge=1)] = 50
    stream_heartbeat_seconds: Annotated[float, Field(gt=0)] = 15
    stream_recheck_seconds: Annotated[float, Field(gt=0)] = 30
    stream_write_seconds: Annotated[float, Field(gt=0)] = 30
    """A client that takes nothing for so long is dropped."""
    outbox_seconds: Annotated[float, Field(gt=0)] = 60
    """Not ready when a message has waited so long to be published."""
    outbox_max_rows: Annotated[int, Field(ge=1)] = 50_000
    """While so many messages wait, as when NATS is away, what would add one is refused. One is about two kilobytes."""
    idempotency_hours: Annotated[int, Field(ge=1)] = 24
    keep_tasks_days: Annotated[int, Field(ge=1)] | None = None
    """How long a task is kept after its end, with its prompt; afterwards it is as if there had never been one. None: for ever."""
