"""The embedded auth server as a process of a test's own, on a database of its own."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded.auth import apply, keys
from deploy.embedded.process import HttpReady, is_ready
from deploy.postgres.apply import password
from shared.secrets.files import write_private
from tests.servers.nats import free_port
from tests.servers.postgres import PostgresDatabase

FIRST_EMAIL = "admin@async-code.local"
FIRST_PASSWORD = "planted-first-password"


@dataclass
class AuthServer:
    """Where it is."""

    port: int
    database: PostgresDatabase

    @property
    def url(self) -> str:
        """What a Supabase client is given."""
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def auth_server(database: PostgresDatabase, directory: Path, **variables: str) -> AsyncGenerator[AuthServer]:
    """Provisioned, started, ready; stopped at the end."""
    connection = await database.connect()
    try:
        role_password = password(database.server.directory / "passwords", apply.ROLE)
        await apply.apply(connection, role_password, FIRST_EMAIL, FIRST_PASSWORD)
    finally:
        await connection.close()
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.embedded.auth", env={**_environment(database, directory, port), **variables}
    )
    try:
        async with asyncio.timeout(30):
            while not await is_ready(HttpReady(port, "/auth/v1/health")):
                assert process.returncode is None
        yield AuthServer(port, database)
    finally:
        process.terminate()
        assert await process.wait() in {0, -15}


def _environment(database: PostgresDatabase, directory: Path, port: int) -> dict[str, str]:
    write_private(directory / "signing-key.json", keys.generate())
    write_private(directory / "refresh-key", b"a planted refresh key of some length")
    return {
        **database.environment("auth"),
        "PATH": "/usr/bin:/bin",
        "AUTH_PORT": str(port),
        "AUTH_ISSUER": f"http://127.0.0.1:{port}/auth/v1",
        "AUTH_SIGNING_KEY_FILE": str(directory / "signing-key.json"),
        "AUTH_REFRESH_KEY_FILE": str(directory / "refresh-key"),
        "AUTH_SIGNUP_ENABLED": "true",
    }
