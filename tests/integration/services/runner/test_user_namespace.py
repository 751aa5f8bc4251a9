"""Where the engine puts containers into a user namespace (`userns-remap`), a run goes its whole way as ever: an engine of the test's own.

Such an engine makes a system user, `dockremap`, which stays. The whole conformance list was run so by hand: docs/stronger-walls.md.
"""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.runner import trial
from services.runner.docker_engine import DockerEngine
from services.runner.docker_factory import DockerSandboxes
from services.runner.protections import REQUIRED
from services.runner.settings import RunnerSettings
from shared.events.values import Protection
from tests.integration.services.runner.inside import MakeSpec, bash
from tests.integration.services.runner.snapshots import Snapshot
from tests.servers.docker import Engine, own_engine

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts an engine")


@pytest.fixture(scope="module")
def remapping(shell_image: str) -> Iterator[Engine]:
    with own_engine(shell_image, **{"userns-remap": "default"}) as engine:
        yield engine


@pytest.fixture
async def engine(remapping: Engine) -> AsyncIterator[DockerEngine]:
    """In the place of everybody's."""
    engine = DockerEngine(remapping.host)
    yield engine
    engine.close()


@pytest.fixture
async def remapped(engine: DockerEngine) -> AsyncIterator[DockerSandboxes]:
    sandboxes = DockerSandboxes(engine, deployment=f"test-{uuid.uuid4()}", runner_id="runner-1")
    yield sandboxes
    for leftover in await sandboxes.leftovers():
        await sandboxes.remove(leftover)


async def test_every_wall_is_there_and_one_more(engine: DockerEngine, remapped: DockerSandboxes, shell_image: str, tmp_path: Path) -> None:
    walls = await trial.walls(engine, remapped, RunnerSettings(state_dir=tmp_path, images={"shell": shell_image}))
    assert walls.there >= REQUIRED | {Protection.USER_NAMESPACE}


async def test_work_goes_in_and_out_and_its_users_are_nobody_outside(
    remapped: DockerSandboxes, make_spec: MakeSpec, small_snapshot: Snapshot, tmp_path: Path
) -> None:
    sandbox = await remapped.create(make_spec())
    await sandbox.load(small_snapshot.tar, small_snapshot.base_sha)
    inside, outside, many = map(int, (await bash(sandbox, "cat /proc/self/uid_map; echo done > done.txt")).split())
    await sandbox.stop_agent()
    harvest = await sandbox.harvest(small_snapshot.base_sha, tmp_path / "pack")
    await sandbox.kill()
    assert harvest.pack is not None
    assert (inside, many) == (0, 65_536)
    assert outside >= 65_536


async def test_a_door_is_reached_where_its_directory_is_closed_to_others(
    remapped: DockerSandboxes, make_spec: MakeSpec, tmp_path: Path
) -> None:
    """As the egress process makes them: the way to it is the runner's alone, the socket anybody's who has come so far."""
    closed = tmp_path / "sockets"
    place = closed / "door"
    place.mkdir(parents=True)
    place.chmod(0o755)
    closed.chmod(0o700)

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_unix_server(greet, place / "model.sock"):
        (place / "model.sock").chmod(0o666)
        sandbox = await remapped.create(replace(make_spec(), door=place))
        assert await bash(sandbox, "socat -u UNIX-CONNECT:/run/egress/model.sock STDOUT") == "hello\n"
        await sandbox.kill()
