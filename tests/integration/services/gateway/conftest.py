from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.deploy.embedded.auth_server import auth_server
from tests.servers.nats import NatsServer, nats_server
from tests.servers.postgres import PostgresDatabase

from .stack import Gateway, Person

__all__ = ["nats_server"]


@pytest.fixture
async def gateway(nats_server: NatsServer, database: PostgresDatabase, tmp_path: Path) -> AsyncIterator[Gateway]:
    with auth_server(database, tmp_path) as auth:
        running = Gateway(nats_server, database, auth, tmp_path)
        await running.start()
        try:
            yield running
        finally:
            await running.stop()
            print(running.log_file.read_text())  # noqa: T201 - shown where a test failed


@pytest.fixture
async def somebody(gateway: Gateway) -> AsyncIterator[Person]:
    async with gateway.person("test") as person:
        yield person


@pytest.fixture
async def another(gateway: Gateway) -> AsyncIterator[Person]:
    async with gateway.person("another") as person:
        yield person
