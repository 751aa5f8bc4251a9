"""The auth server's variables (`AUTH_…`); secrets come in files."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class AuthSettings(BaseSettings):
    """Where it listens, who it says it is, and its rules."""

    model_config = SettingsConfigDict(env_prefix="AUTH_", frozen=True)

    host: str = "127.0.0.1"
    """Loopback: it speaks no TLS. Who signs in from elsewhere comes through a tunnel (docs/operations.md)."""
    port: Annotated[int, Field(ge=0, le=65_535)]
    issuer: str
    """`iss` of every token, exactly as the gateway expects it."""
    signing_key_file: Path
    """An ES256 key as a JWK."""
    refresh_key_file: Path
    """What refresh tokens are signed with."""
    signup_enabled: bool = False
    access_token_seconds: Annotated[int, Field(ge=60, le=86_400)] = 3_600
    """As GoTrue's default."""
    session_idle_days: Annotated[int, Field(ge=1)] = 30
    password_min_length: Annotated[int, Field(ge=8)] = 12
