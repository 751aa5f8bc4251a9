"""Makes a database ready for the services: the shim where it is not Supabase's, the migrations, and a password for each role.

Can be run at any time, and again; `python -m deploy.postgres.apply` takes its settings from the environment. A password is written to a
file of mode 0600 and sent to the server only as its SCRAM verifier, so that no log of the server can hold it.
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
import string
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.secrets.files import read_private, write_private
from shared.store import migrations
from shared.store.database import Connection
from shared.store.settings import DatabaseUrl

ROLES: Final = ("async_code_gateway", "async_code_scheduler", "async_code_audit", "async_code_audit_reader")

_HERE = Path(__file__).parent
_PRINTABLE = frozenset(string.ascii_letters + string.digits + string.punctuation)
_SCRAM_ROUNDS = 4096
"""Postgres's own default. The passwords are 256 random bits: more rounds would slow down each connection and nobody else."""


class ApplySettings(BaseSettings):
    """`POSTGRES_ADMIN_URL` (a role that may create roles and schemas), `POSTGRES_ADMIN_PASSWORD_FILE`, `POSTGRES_PASSWORDS_DIR`."""

    model_config = SettingsConfigDict(env_prefix="POSTGRES_", frozen=True, hide_input_in_errors=True)

    admin_url: DatabaseUrl
    admin_password_file: Path
    passwords_dir: Path
    migrations_dir: Path = _HERE.parent.parent / "supabase" / "migrations"
    connect_seconds: Annotated[float, Field(gt=0)] = 30


async def apply(settings: ApplySettings) -> list[str]:
    """Bring the database of `admin_url` up to date, creating it where it is missing; gives the migrations that were applied."""
    await _create_database(settings)
    connection = await _connect(settings, settings.admin_url)
    try:
        if not await _is_supabase(connection):
            await connection.execute((_HERE / "shim.sql").read_text())
        applied = await migrations.migrate(connection, settings.migrations_dir)
        for role in ROLES:
            await _set_password(connection, role, password(settings.passwords_dir, role))
        return applied
    finally:
        await connection.close()


def password_file(directory: Path, role: str) -> Path:
    """Where the password of a role is kept."""
    return directory / f"{role}.password"


def password(directory: Path, role: str) -> str:
    """The password of a role; generated where there is none yet. Raises ValueError for one that SCRAM clients could read in two ways."""
    path = password_file(directory, role)
    if not path.exists():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, f"{secrets.token_urlsafe(32)}\n".encode())
    text = read_private(path).decode().strip()
    if not text or not set(text) <= _PRINTABLE:
        raise ValueError(f"the password in {path.name} must be printable ASCII without spaces")
    return text


def scram_verifier(text: str, salt: bytes) -> str:
    """What Postgres stores in place of a password (RFC 5803 and RFC 5802, §3); the password cannot be had from it."""
    salted = hashlib.pbkdf2_hmac("sha256", text.encode(), salt, _SCRAM_ROUNDS)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    salt_text, stored, server = (base64.b64encode(part).decode() for part in (salt, stored_key, server_key))
    return f"SCRAM-SHA-256${_SCRAM_ROUNDS}:{salt_text}${stored}:{server}"


async def _set_password(connection: Connection, role: str, text: str) -> None:
    """ALTER ROLE takes no parameters; the server quotes the two values itself."""
    statement = await connection.fetchval(
        "select format('alter role %I with password %L', $1::text, $2::text)", role, scram_verifier(text, secrets.token_bytes(16))
    )
    await connection.execute(statement)


async def _is_supabase(connection: Connection) -> bool:
    return await connection.fetchval("select exists (select from pg_roles where rolname = 'supabase_admin')")


async def _create_database(settings: ApplySettings) -> None:
    parts = urlsplit(settings.admin_url)
    name = parts.path.removeprefix("/")
    try:
        connection = await _connect(settings, settings.admin_url)
    except asyncpg.InvalidCatalogNameError:
        connection = await _connect(settings, urlunsplit(parts._replace(path="/postgres")))
        await connection.execute(await connection.fetchval("select format('create database %I', $1::text)", name))
    await connection.close()


async def _connect(settings: ApplySettings, url: str) -> "asyncpg.Connection[asyncpg.Record]":
    admin_password = read_private(settings.admin_password_file).decode().strip()
    return await asyncpg.connect(url, password=admin_password, timeout=settings.connect_seconds, command_timeout=60)


if __name__ == "__main__":
    for version in asyncio.run(apply(ApplySettings())):  # type: ignore[call-arg] - from the environment
        print(f"applied {version}")
