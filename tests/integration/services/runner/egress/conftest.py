"""What tests of the package proxies start from: registries over TLS, and an egress process that knows them."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.integration.services.runner.egress.sandboxes import Sandboxes
from tests.servers.authority import Authority
from tests.servers.egress import EgressProcess
from tests.servers.registry import Registry


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose sockets fit into an address."""
    with tempfile.TemporaryDirectory(prefix="ac-") as path:
        yield Path(path)


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    registry = Registry(Authority(tmp_path))
    await registry.start()
    yield registry
    await registry.stop()


@pytest.fixture
async def sandboxes(registry: Registry, short_path: Path) -> AsyncIterator[Sandboxes]:
    process = EgressProcess(short_path, "https://127.0.0.1:1", more=registry.settings() | {"EGRESS_PACKAGES_MAX_MISSING": "3"})
    await process.start()
    yield Sandboxes(process)
    process.stop()
