"""Which sandboxes the pool keeps, on the fake."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.runner import warm
from services.runner.doors import NullEgress, Place
from services.runner.errors import SandboxGone
from services.runner.sandbox import SandboxSpec
from services.runner.warm import KEPT_SECONDS, SNAPSHOT_BYTES, Kind, Pool
from shared.bus.errors import Transient
from shared.events import ids
from shared.events.ids import OwnerId, RunId, TaskId
from shared.events.values import Limits
from tests.unit.services.runner.fake_sandbox import FakeSandboxes

IMAGE = "async-code/shell:0123"


class Places(NullEgress):
    """An egress process that can make places, and remembers which are there."""

    def __init__(self) -> None:
        self.made = list[str]()
        self.there = set[str]()

    async def place(self) -> Place:
        name = f"place-{len(self.made):032x}"
        self.made.append(name)
        self.there.add(name)
        return Place(name, Path("/sockets") / name)

    async def give_up(self, place: Place) -> None:
        self.there.remove(place.name)


class Silent(NullEgress):
    async def place(self) -> Place:
        raise Transient("the egress process does not answer")


@pytest.fixture
def sandboxes() -> FakeSandboxes:
    return FakeSandboxes(IMAGE, "a" * 40)


@pytest.fixture
def places() -> Places:
    return Places()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "_SETTLE_SECONDS", 0.0)


@pytest.fixture
async def pool(sandboxes: FakeSandboxes, places: Places) -> AsyncIterator[Pool]:
    pool = Pool(sandboxes, places, each=2, total=3)
    async with pool.filled():
        yield pool
    assert not [name for name in sandboxes.alive if "warm" in name]


def spec(memory_mib: int = 512, workspace_bytes: int = 1) -> SandboxSpec:
    owner, task = OwnerId(ids.fresh()), TaskId(ids.fresh())
    return SandboxSpec(RunId(ids.fresh()), 1, owner, task, IMAGE, Limits(memory_mib=memory_mib), workspace_bytes, 1_024)


def waiting(sandboxes: FakeSandboxes) -> list[int]:
    return sorted(sandbox.spec.limits.memory_mib for name, sandbox in sandboxes.alive.items() if "warm" in name)


async def test_nothing_is_made_before_somebody_asked(pool: Pool, sandboxes: FakeSandboxes) -> None:
    assert pool.take(spec(), door=False) is None
    await pool.full()
    assert waiting(sandboxes) == [512, 512]


async def test_the_kind_asked_for_last_comes_first_where_there_is_no_room_for_all(pool: Pool, sandboxes: FakeSandboxes) -> None:
    pool.take(spec(512), door=False)
    pool.take(spec(1_024), door=False)
    await pool.full()
    assert waiting(sandboxes) == [512, 1_024, 1_024]


async def test_what_is_taken_is_nobody_elses(pool: Pool, sandboxes: FakeSandboxes) -> None:
    pool.take(spec(), door=False)
    await pool.full()
    attempts = [spec(), spec(), spec()]
    given = [pool.take(attempt, door=False) for attempt in attempts]
    assert [found is None for found in given] == [False, False, True]
    for attempt, found in zip(attempts, given, strict=True):
        await pool.sandbox(attempt, found)
    await pool.full()
    assert {sandbox.spec.run_id for sandbox in sandboxes.alive.values()} >= {attempt.run_id for attempt in attempts}


async def test_the_limits_a_container_is_made_with_make_its_kind_and_the_others_do_not() -> None:
    one = spec()
    alike = replace(one, limits=one.limits.model_copy(update={"wall_seconds": 1, "idle_seconds": 1, "max_turns": 1, "max_cost_usd": 1}))
    assert Kind.of(alike, door=True) == Kind.of(one, door=True)
    assert Kind.of(one, door=True) != Kind.of(one, door=False)
    for change in ({"memory_mib": 300}, {"disk_mib": 300}, {"cpus": 1.5}, {"pids": 300}):
        other = replace(one, limits=one.limits.model_copy(update=change))
        assert Kind.of(other, door=True) != Kind.of(one, door=True)
    assert Kind.of(replace(one, image="async-code/shell:4567"), door=True) != Kind.of(one, door=True)


async def test_a_snapshot_that_finds_no_room_gets_a_sandbox_of_its_own(pool: Pool) -> None:
    large = spec(workspace_bytes=SNAPSHOT_BYTES + 1)
    assert Kind.of(large, door=False) is None
    assert pool.take(large, door=False) is None


async def test_doors_have_places_and_no_place_is_left(sandboxes: FakeSandboxes, places: Places) -> None:
    pool = Pool(sandboxes, places, each=2, total=3)
    async with pool.filled():
        pool.take(spec(), door=True)
        await pool.full()
        found = pool.take(spec(), door=True)
        assert found is not None
        assert found.place is not None
        assert found.place.name in places.there
        await pool.discard(found)
        assert found.place.name not in places.there
    assert places.there == set()


async def test_one_that_cannot_be_made_holds_up_no_other_and_gives_its_place_up(sandboxes: FakeSandboxes, places: Places) -> None:
    pool = Pool(sandboxes, places, each=1, total=2)
    async with pool.filled():
        pool.take(spec(), door=True)
        pool.take(replace(spec(), image="async-code/none:0123"), door=True)
        await pool.full()
        assert (len(places.made), len(places.there), waiting(sandboxes)) == (2, 1, [512])


async def test_without_an_egress_process_there_is_none_and_no_harm(sandboxes: FakeSandboxes) -> None:
    pool = Pool(sandboxes, Silent(), each=1, total=1)
    async with pool.filled():
        attempt = spec()
        assert pool.take(attempt, door=True) is None
        await pool.sandbox(attempt, None)


async def test_one_that_died_is_not_used(pool: Pool, sandboxes: FakeSandboxes) -> None:
    pool.take(spec(), door=False)
    await pool.full()
    attempt = spec()
    found = pool.take(attempt, door=False)
    assert found is not None
    await found.prepared.discard()
    with pytest.raises(SandboxGone):
        await found.prepared.adopt(attempt)
    await pool.sandbox(attempt, found)
    assert [sandbox.spec.run_id for name, sandbox in sandboxes.alive.items() if "warm" not in name] == [attempt.run_id]


async def test_old_ones_are_replaced_and_a_kind_that_nobody_wants_goes(sandboxes: FakeSandboxes) -> None:
    clock = [0.0]
    pool = Pool(sandboxes, NullEgress(), each=1, total=2, now=lambda: clock[0])
    async with pool.filled():
        pool.take(spec(512), door=False)
        await pool.full()
        clock[0] = KEPT_SECONDS - 1
        first = set(sandboxes.alive)
        pool.take(spec(1_024), door=False)
        await pool.full()
        assert waiting(sandboxes) == [512, 1_024]
        clock[0] = KEPT_SECONDS + 1
        pool.take(replace(spec(), image="async-code/none:0123"), door=False)  # another look
        await pool.full()
        assert waiting(sandboxes) == [1_024]
        assert not first & set(sandboxes.alive)


async def test_a_pool_of_none_keeps_none(sandboxes: FakeSandboxes) -> None:
    pool = Pool(sandboxes, NullEgress(), each=0, total=3)
    async with pool.filled():
        assert pool.take(spec(), door=False) is None
        assert sandboxes.alive == {}
