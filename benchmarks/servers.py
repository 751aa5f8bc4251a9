"""A real NATS server and a real Postgres with production's durability, for the questions that need no whole stack."""

import contextlib
import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

from deploy.postgres import apply
from tests.servers.nats import NatsServer
from tests.servers.postgres import PostgresDatabase, PostgresServer, in_own_loop

_DATABASE = "measured"


@contextlib.asynccontextmanager
async def nats(store_bytes: int = 8 * 1024**3) -> AsyncGenerator[NatsServer]:
    """Every message is on the disk before it is acknowledged."""
    with _directory("nats") as directory:
        server = NatsServer(directory, store_bytes=store_bytes, sync_interval="always")
        await server.start()
        try:
            await server.provision()
            yield server
        finally:
            await server.stop()


@contextlib.asynccontextmanager
async def database() -> AsyncGenerator[PostgresDatabase]:
    """Migrated; every commit is on the disk before it is answered."""
    with _directory("postgres") as directory:
        server = PostgresServer(directory, fsync=True)
        server.start()
        try:
            in_own_loop(lambda: apply.apply(server.apply_settings(_DATABASE)))
            yield PostgresDatabase(server, _DATABASE)
        finally:
            server.stop()


@contextlib.contextmanager
def _directory(name: str) -> Generator[Path]:
    directory = Path(tempfile.mkdtemp(prefix=f"async-code-{name}-", dir="/var/lib"))
    directory.chmod(0o711)  # the server's user must get through to its own directories
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
