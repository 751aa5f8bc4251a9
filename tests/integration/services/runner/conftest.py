import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from deploy.images.build import ensure_images
from services.runner.docker_engine import DockerEngine
from services.runner.docker_factory import DockerSandboxes
from services.runner.sandbox import Sandbox, SandboxSpec
from shared.bus.connection import Bus
from shared.events import ids
from shared.events.ids import OwnerId, RunId, TaskId
from shared.events.values import Limits
from tests.integration.services.runner.inside import SMALL, MakeSpec
from tests.integration.services.runner.snapshots import Snapshot, repository, snapshot
from tests.integration.services.runner.stage import Stage, in_process
from tests.servers.nats import NatsServer

DOCKER_URL = "unix:///var/run/docker.sock"


@pytest.fixture(scope="session")
def shell_image() -> str:
    return ensure_images(lambda _: None, ["shell"])["shell"]


@pytest.fixture
async def engine() -> AsyncIterator[DockerEngine]:
    engine = DockerEngine(DOCKER_URL)
    yield engine
    engine.close()


@pytest.fixture
async def sandboxes(engine: DockerEngine) -> AsyncIterator[DockerSandboxes]:
    """A deployment of its own, which must be empty when the test is over."""
    sandboxes = DockerSandboxes(engine, deployment=f"test-{uuid.uuid4()}", runner_id="runner-1")
    yield sandboxes
    for leftover in await sandboxes.leftovers():
        await sandboxes.remove(leftover)


@pytest.fixture
def make_spec(shell_image: str) -> MakeSpec:
    def make(limits: Limits = SMALL, max_result_bytes: int = 32 * 1024 * 1024, door: Path | None = None, fence: int = 1) -> SandboxSpec:
        return SandboxSpec(
            run_id=RunId(ids.fresh()),
            fence=fence,
            owner=OwnerId(ids.fresh()),
            task_id=TaskId(ids.fresh()),
            image=shell_image,
            limits=limits,
            workspace_bytes=8 * 1024 * 1024,
            max_result_bytes=max_result_bytes,
            door=door,
        )

    return make


@pytest.fixture
async def sandbox(sandboxes: DockerSandboxes, make_spec: MakeSpec) -> AsyncIterator[Sandbox]:
    made = await sandboxes.create(make_spec())
    yield made
    await made.kill()


@pytest.fixture
def small_snapshot(tmp_path: Path) -> Snapshot:
    return snapshot(repository(tmp_path / "small", {"readme.md": b"hello\n", "src/a.txt": b"a\n"}), tmp_path / "small-snapshot")


@pytest.fixture
async def stage(nats_server: NatsServer, sandboxes: DockerSandboxes) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:

        async def connected(user: str) -> Bus:
            bus = await Bus.connect(nats_server.settings(user))
            stack.push_async_callback(bus.stop)
            return bus

        stage = Stage(
            nats_server, await connected("gateway"), await connected("scheduler"), await connected("git"), sandboxes, sandboxes.deployment
        )
        await stage.open()
        yield stage


@pytest.fixture
async def working(stage: Stage, tmp_path: Path, shell_image: str) -> AsyncIterator[Stage]:
    """A stage with a runner at work, in this process."""
    async with in_process(stage, tmp_path / "runner", shell_image):
        yield stage
    assert not await stage.sandboxes()
    assert not list((tmp_path / "runner" / "work").glob("*"))
