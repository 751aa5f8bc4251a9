import asyncio
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest
import uvloop

from services.git import addresses
from services.git.command import Caps, Git, Remote
from services.git.credentials import login
from services.git.mirrors import Mirrors
from services.git.resolution import Destination, Reach
from shared.events.ids import OwnerId
from tests.integration.services.git.attack import Attack
from tests.integration.services.git.line import Line
from tests.servers import git_objects
from tests.servers.git import GitServer
from tests.servers.git_objects import Blob

OWNER = OwnerId("0b3c3c1e-0000-4000-8000-000000000001")
OTHER = OwnerId("0b3c3c1e-0000-4000-8000-000000000002")
LOOPBACK = Reach(networks=(ip_network("127.0.0.0/8"), ip_network("::1/128")))

RemoteTo = Callable[..., Remote]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:  # noqa: ARG001
    """The loop the service runs on: its subprocesses behave differently from the standard one's."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def git(tmp_path: Path) -> Git:
    return Git(tmp_path / "home")


@pytest.fixture
def mirrors(git: Git, tmp_path: Path) -> Mirrors:
    return Mirrors(git, tmp_path / "cache", caps=Caps(timeout_seconds=60, file_bytes=64 * 1024 * 1024), max_bytes=1024**3)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with GitServer(tmp_path / "server") as running:
        yield running


@pytest.fixture
def remote_to() -> RemoteTo:
    def make(url: str, secret: bytes | None = None, pin: str | None = None) -> Remote:
        address = addresses.parse(url, {"http", "file"})
        return Remote(Destination(address, pin=pin), login(secret) if secret else None)

    return make


@pytest.fixture
async def attack(git: Git, mirrors: Mirrors, tmp_path: Path, server: GitServer, remote_to: RemoteTo) -> Attack:
    repository = server.create("demo")
    base = git_objects.write_commit(repository, git_objects.write_tree(repository, {b"a": Blob(b"a\n"), b"d/b": Blob(b"b\n")}))
    line, remote = Line(git, mirrors, tmp_path, OWNER), remote_to(server.url("demo"))
    await line.snapshot(remote)
    return Attack(line, remote, repository, base)
