import asyncio
from collections.abc import Sequence
from pathlib import Path

from services.runner import orphans
from services.runner.errors import EngineUnreachable
from services.runner.old_images import Tagged
from services.runner.sandbox import Leftover, SandboxSpec
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
    sweeping = [
        asyncio.create_task(orphans.repeat(0, orphans.SandboxSweep(held, always))),
        asyncio.create_task(orphans.repeat(0, orphans.SandboxSweep(left, never))),
    ]
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

    sweeping = asyncio.create_task(orphans.repeat(0, orphans.SandboxSweep(sandboxes, at_first_not)))
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


async def test_a_sweep_that_fails_holds_up_no_other() -> None:
    done = asyncio.Event()

    async def fails() -> None:
        raise EngineUnreachable

    async def works() -> None:
        done.set()

    sweeping = asyncio.create_task(orphans.repeat(0, fails, works))
    async with asyncio.timeout(5):
        await done.wait()
    sweeping.cancel()


class Images:
    """Three of one agent, of which the oldest is in use, and one that is another's."""

    def __init__(self) -> None:
        tags = {"async-code/shell:3": 30, "async-code/shell:2": 20, "async-code/shell:1": 10, "async-code/base:1": 1, "other/shell:1": 1}
        self.there = [Tagged(tag, f"sha256:{tag}", created) for tag, created in tags.items()]

    async def images(self, reference: str) -> list[Tagged]:
        assert reference == "async-code/*"
        return list(self.there)

    async def images_in_use(self) -> set[str]:
        return {"sha256:async-code/shell:1"}

    async def remove_image(self, tag: str) -> None:
        self.there = [image for image in self.there if image.tag != tag]


async def test_old_images_go_but_not_what_is_used_asked_for_or_anothers() -> None:
    store = Images()
    await orphans.ImageSweep(store, [], keep=1)()
    assert [image.tag for image in store.there] == ["async-code/shell:3", "async-code/shell:1", "async-code/base:1", "other/shell:1"]
    store = Images()
    sweep = orphans.ImageSweep(store, ["async-code/shell:2"], keep=1)
    await sweep()
    assert len(store.there) == 5
    store.there.append(Tagged("async-code/shell:0", "sha256:0", 0))
    await sweep()  # an hour has not passed
    assert len(store.there) == 6


async def test_what_waits_for_a_run_is_its_runners_until_it_ends() -> None:
    waiting, ended = (Leftover(name, "other", RunId(""), 0, ended) for name, ended in (("waiting", False), ("ended", True)))
    sandboxes = Left(waiting, ended)
    assert await orphans.clear_sandboxes(sandboxes, "me", never) == 1
    assert sandboxes.removed == [ended]


class Left(FakeSandboxes):
    """A host on which these were found."""

    def __init__(self, *found: Leftover) -> None:
        super().__init__(IMAGE, "a" * 40)
        self._found = found
        self.removed = list[Leftover]()

    async def leftovers(self) -> Sequence[Leftover]:
        return self._found

    async def remove(self, leftover: Leftover) -> None:
        self.removed.append(leftover)
