"""Where a service's database is. The password stands in a file alone, never in the address: addresses end up in logs and process lists."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"postgresql", "postgres"}:
        raise ValueError("a postgresql:// address is expected")
    if parts.password is not None or "password=" in parts.query:
        raise ValueError("the password belongs into DATABASE_PASSWORD_FILE, not into the address")
    return url


DatabaseUrl = Annotated[str, AfterValidator(_without_password)]


class StoreSettings(BaseSettings):
    """`DATABASE_URL` and `DATABASE_PASSWORD_FILE`. The address is a direct or session-mode one: a transaction pooler has no LISTEN."""

    model_config = SettingsConfigDict(env_prefix="DATABASE_", frozen=True, hide_input_in_errors=True)

    url: DatabaseUrl
    password_file: Path
    pool_size: Annotated[int, Field(ge=1, le=100)] = 10
    connect_seconds: Annotated[float, Field(gt=0)] = 30
    """How long `Database.open` waits for a database that is only starting."""
    command_seconds: Annotated[float, Field(gt=0)] = 30
    """What a statement may take before its connection counts as broken."""
