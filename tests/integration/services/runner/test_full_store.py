"""A run whose work finds no room: it ends, by name, and the bus goes on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.events.facts import RunFailed, RunFinished
from tests.integration.services.runner.snapshots import Snapshot
from tests.integration.services.runner.stage import Stage, in_process
from tests.servers.nats import NatsServer, running


@pytest.fixture
async def nats_server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """One with 1.6 MB for all results."""
    async for server in running(tmp_path / "nats", store_bytes=20 * 1024 * 1024):
        yield server


async def test_work_that_finds_no_room_ends_the_run_by_name(
    stage: Stage, small_snapshot: Snapshot, tmp_path: Path, shell_image: str
) -> None:
    async with in_process(stage, tmp_path / "runner", shell_image, store_wait_seconds=2):
        large = await stage.command(small_snapshot, "head -c 3000000 /dev/urandom > noise")
        ended = await stage.ending(large)
        assert isinstance(ended, RunFailed)
        assert ended.failure.code == "storage_full"
        # Commands and facts have their own room: the next task goes through.
        small = await stage.command(small_snapshot, "true")
        assert isinstance(await stage.ending(small), RunFinished)
        await stage.settled()
