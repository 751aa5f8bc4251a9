import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from deploy.images.build import ensure_images
from services.runner.docker_engine import DockerEngine
from services.runner.docker_factory import DockerSandboxes
from tests.integration.fidelity.workshop import Workshop
from tests.servers.git import GitServer

DOCKER_URL = "unix:///var/run/docker.sock"


@pytest.fixture(scope="session")
def loop() -> Iterator["asyncio.Runner"]:
    """One loop for all examples: hypothesis calls plain functions."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner


@pytest.fixture(scope="session")
def workshop(loop: "asyncio.Runner", tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    directory = Path(tmp_path_factory.mktemp("workshop"))
    image = ensure_images(lambda _: None, ["shell"])["shell"]
    engine = DockerEngine(DOCKER_URL)
    sandboxes = DockerSandboxes(engine, deployment=f"test-{uuid.uuid4()}", runner_id="runner-1")
    with GitServer(directory) as server:
        yield Workshop(directory, server, sandboxes, image)
    assert not loop.run(sandboxes.leftovers())
    engine.close()
