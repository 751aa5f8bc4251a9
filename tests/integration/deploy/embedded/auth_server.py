"""The embedded auth server as a process of a test's own, on a database of its own."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded.auth import apply, keys
from deploy.embedded.process import HttpReady, is_ready
from deploy.postgres.apply import password
from shared.secrets.files import write_private
from tests.servers.nats import free_port
from tests.servers.postgres import PostgresDatabase, in_own_loop

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


@contextmanager
def auth_server(database: PostgresDatabase, directory: Path, **variables: str) -> Generator[AuthServer]:
    """Provisioned, started, ready; stopped at the end."""
    in_own_loop(lambda: _provision(database))
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "deploy.embedded.auth"], env={**_environment(database, directory, port), **variables})
    try:
        in_own_loop(lambda: _ready(port, process))
        yield AuthServer(port, database)
    finally:
        process.terminate()
        assert process.wait(30) in {0, -15}


async def _provision(database: PostgresDatabase) -> None:
    connection = await database.connect()
    try:
        role_password = password(database.server.directory / "passwords", apply.ROLE)
        await apply.apply(connection, role_password, FIRST_EMAIL, FIRST_PASSWORD)
    finally:
        await connection.close()


async def _ready(port: int, process: "subprocess.Popen[bytes]") -> None:
    async with asyncio.timeout(30):
        while not await is_ready(HttpReady(port, "/auth/v1/health")):
            assert process.poll() is None


def _environment(database: PostgresDatabase, directory: Path, port: int) -> dict[str, str]:
    write_private(directory / "signing-key.json", keys.generate())
    write_private(directory / "refresh-key", b"a planted refresh key of some length")
    return {
        **database.environment("auth"),
        "PATH": "/usr/bin:/bin",
        **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
        "AUTH_PORT": str(port),
        "AUTH_ISSUER": f"http://127.0.0.1:{port}/auth/v1",
        "AUTH_SIGNING_KEY_FILE": str(directory / "signing-key.json"),
        "AUTH_REFRESH_KEY_FILE": str(directory / "refresh-key"),
        "AUTH_SIGNUP_ENABLED": "true",
    }
