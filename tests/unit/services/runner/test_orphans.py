import asyncio
from pathlib import Path

from services.runner import orphans
from services.runner.sandbox import SandboxSpec
from shared.events import ids
from shared.events.ids import OwnerId, RunId, TaskId
from shared.events.values import Limits
from tests.unit.services.runner.fake_sandbox import FakeSandboxes

IMAGE = "async-code/shell:current"


async def one_sandbox(runner_id: str) -> FakeSandboxes:
    sandboxes = FakeSandboxes(IMAGE, "a" * 40, runner_id)
    await sandboxes.create(SandboxSpec(RunId(ids.fresh()), 1, OwnerId(ids.fresh()), TaskId(ids.fresh()), IMAGE, Limits(), 0, 1))
    return sandboxes


async def always(_: RunId) -> bool:
    return True


async def never(_: RunId) -> bool:
    return False


async def test_own_sandboxes_go_whatever_their_lease_is() -> None:
    sandboxes = await one_sandbox("me")
    assert await orphans.clear_sandboxes(sandboxes, "me", always) == 1
    assert not sandboxes.alive


async def test_another_runners_sandbox_goes_only_when_its_lease_is_dead() -> None:
    sandboxes = await one_sandbox("other")
    assert await orphans.clear_sandboxes(sandboxes, "me", always) == 0
    assert sandboxes.alive
    assert await orphans.clear_sandboxes(sandboxes, "me", never) == 1


async def test_what_nobody_holds_is_removed_while_the_runner_works_too() -> None:
    held, left = await one_sandbox("me"), await one_sandbox("me")
    sweeping = [asyncio.create_task(orphans.sweep(held, always, 0)), asyncio.create_task(orphans.sweep(left, never, 0))]
    async with asyncio.timeout(5):
        while left.alive:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert held.alive
    for task in sweeping:
        task.cancel()


async def test_a_sandbox_whose_lease_is_seen_a_moment_late_stays() -> None:
    sandboxes = await one_sandbox("me")
    asked = 0
    enough = asyncio.Event()

    async def at_first_not(_: RunId) -> bool:
        nonlocal asked
        asked += 1
        if asked > 3:
            enough.set()
        return asked > 1

    sweeping = asyncio.create_task(orphans.sweep(sandboxes, at_first_not, 0))
    async with asyncio.timeout(5):
        await enough.wait()
    sweeping.cancel()
    assert sandboxes.alive


def test_a_runner_keeps_its_name_and_not_its_files(tmp_path: Path) -> None:
    name = orphans.runner_id(tmp_path)
    (tmp_path / "work" / "old").mkdir(parents=True)
    orphans.clear_files(tmp_path)
    assert orphans.runner_id(tmp_path) == name
    assert [path.name for path in tmp_path.iterdir()] == ["runner_id"]
    assert (tmp_path / "runner_id").stat().st_mode & 0o777 == 0o600
