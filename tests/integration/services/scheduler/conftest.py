from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.integration.services.scheduler.processes import Outside, Schedulers, outside
from tests.servers.nats import NatsServer, nats_server
from tests.servers.postgres import PostgresDatabase, database, postgres

__all__ = ["database", "nats_server", "postgres"]


@pytest.fixture
async def here(nats_server: NatsServer) -> AsyncGenerator[Outside]:
    async with outside(nats_server) as world:
        yield world


@pytest.fixture
async def schedulers(
    nats_server: NatsServer,
    database: PostgresDatabase,
    tmp_path: Path,
) -> AsyncGenerator[Schedulers]:
    processes = Schedulers(nats_server, database, tmp_path)
    try:
        yield processes
    finally:
        await processes.end()
