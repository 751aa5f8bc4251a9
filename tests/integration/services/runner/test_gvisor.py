"""The same sandboxes with gVisor (Debian's `runsc`, platform ptrace) between them and the kernel, on an engine of the test's own."""

import os
import shutil
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.runner import trial
from services.runner.docker_engine import DockerEngine
from services.runner.docker_factory import DockerSandboxes
from services.runner.errors import SandboxGone
from services.runner.protections import REQUIRED
from services.runner.settings import RunnerSettings
from shared.events.facts import RunFinished
from shared.events.values import Protection
from tests.integration.services.runner.inside import MakeSpec, bash
from tests.integration.services.runner.snapshots import Snapshot, git
from tests.integration.services.runner.stage import Stage, in_process
from tests.servers.docker import Engine, own_engine
from tests.unit.services.runner.sandbox_conformance import SandboxConformance, Site

RUNSC = shutil.which("runsc", path="/usr/local/bin:/usr/bin")
ARGUMENTS = ["--platform=ptrace", "--network=none", "--host-uds=open"]
END_SECONDS = 120
pytestmark = pytest.mark.skipif(RUNSC is None, reason="needs gVisor: apt-get install runsc")


@pytest.fixture(scope="module")
def engine_with_gvisor(shell_image: str) -> Iterator[Engine]:
    with own_engine(shell_image, runtimes={"runsc": {"path": RUNSC, "runtimeArgs": ARGUMENTS}}) as engine:
        yield engine


@pytest.fixture
async def engine(engine_with_gvisor: Engine) -> AsyncIterator[DockerEngine]:
    """In the place of the shared engine, for everything here."""
    engine = DockerEngine(engine_with_gvisor.host)
    yield engine
    engine.close()


@pytest.fixture
async def sandboxes(engine: DockerEngine) -> AsyncIterator[DockerSandboxes]:
    sandboxes = DockerSandboxes(engine, deployment=f"test-{uuid.uuid4()}", runner_id="runner-1", runtime="runsc")
    yield sandboxes
    for leftover in await sandboxes.leftovers():
        await sandboxes.remove(leftover)


class TestGvisor(SandboxConformance):
    @pytest.fixture
    def site(self, sandboxes: DockerSandboxes, make_spec: MakeSpec, small_snapshot: Snapshot) -> Site:
        return Site(sandboxes, make_spec(fence=3), small_snapshot.tar, small_snapshot.base_sha)


async def test_its_walls_are_there(engine: DockerEngine, sandboxes: DockerSandboxes, shell_image: str, tmp_path: Path) -> None:
    walls = await trial.walls(engine, sandboxes, RunnerSettings(state_dir=tmp_path, images={"shell": shell_image}, runtime="runsc"))
    assert walls.there >= REQUIRED | {Protection.OWN_KERNEL}


async def test_a_run_from_command_to_fact(
    stage: Stage, engine_with_gvisor: Engine, small_snapshot: Snapshot, shell_image: str, tmp_path: Path
) -> None:
    """The first is in a container of its own, the second in one that waited."""
    async with in_process(stage, tmp_path / "runner", shell_image, docker_host=engine_with_gvisor.host, runtime="runsc"):
        for number in range(2):
            command = await stage.command(small_snapshot, "uname -v > kernel.txt; echo two >> readme.md")
            ended = await stage.ending(command, END_SECONDS)
            assert isinstance(ended, RunFinished)
            assert ended.result is not None
            pack = tmp_path / f"{number}.pack"
            pack.write_bytes(await stage.blob(ended.result))
            whole = small_snapshot.take_in(pack, tmp_path / f"whole {number}")
            assert git(whole, "cat-file", "blob", f"{ended.tree_sha}:readme.md") == "hello\ntwo"
            assert git(whole, "cat-file", "blob", f"{ended.tree_sha}:kernel.txt") != os.uname().version
    await stage.no_sandboxes()


async def test_too_many_processes_end_the_sandbox_and_it_is_noticed(sandboxes: DockerSandboxes, make_spec: MakeSpec) -> None:
    """Linux refuses a program another process. gVisor ends, and the engine says that the program did, or leaves its stream open."""
    sandbox = await sandboxes.create(make_spec())

    async def explained() -> None:
        await bash(sandbox, "for n in {1..2000}; do sleep 1000 & done; wait", code=None)
        await sandbox.condition()

    with pytest.raises(SandboxGone):
        await explained()
