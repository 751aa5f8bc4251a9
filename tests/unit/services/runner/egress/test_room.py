"""What may be under way at once at a door: never more than its budget pays for."""

import asyncio
from pathlib import Path

import pytest
from pydantic import SecretBytes, SecretStr

from services.runner.egress.doors import Door, DoorKey
from services.runner.egress.metering import Spent
from services.runner.egress.room import AT_ONCE, Room
from services.runner.egress.vendors.vendor import Refused


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(DoorKey("r", 1), SecretStr("t"), SecretBytes(b"k"), 1.0, tmp_path / "journal.json")


async def _begun(room: Room, worst_usd: float, count: int, let_go: asyncio.Event) -> "list[asyncio.Task[None]]":
    """`count` requests, and everything has happened that can without their end."""

    async def request() -> None:
        async with room.taken(worst_usd):
            await let_go.wait()

    tasks = [asyncio.create_task(request()) for _ in range(count)]
    for _ in range(2 * count):
        await asyncio.sleep(0)
    return tasks


@pytest.mark.parametrize(("worst_usd", "under_way"), [(0.0, AT_ONCE), (0.25, 4), (0.4, 2), (5.0, 1)])
async def test_as_many_go_as_the_budget_pays_for_and_one_always(door: Door, worst_usd: float, under_way: int) -> None:
    let_go = asyncio.Event()
    seen: list[int] = []

    async def request() -> None:
        async with room.taken(worst_usd):
            seen.append(1)
            await let_go.wait()

    room = Room(door)
    tasks = [asyncio.create_task(request()) for _ in range(40)]
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(seen) == under_way
    let_go.set()
    await asyncio.gather(*tasks)
    assert len(seen) == 40


async def test_who_waits_for_a_budget_that_is_then_used_up_is_refused(door: Door) -> None:
    room, let_go = Room(door), asyncio.Event()
    tasks = await _begun(room, 5.0, 3, let_go)
    door.charge(Spent(cost_usd=2.0), 200)
    let_go.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in ended] == [type(None), Refused, Refused]


async def test_who_gives_up_waiting_takes_no_room(door: Door) -> None:
    room, let_go = Room(door), asyncio.Event()
    tasks = await _begun(room, 5.0, 2, let_go)
    tasks[1].cancel()
    let_go.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(5), room.taken(5.0):
        pass


async def test_large_bodies_wait_for_each_other_and_small_ones_do_not(door: Door) -> None:
    room = Room(door)
    async with room.for_body(None), room.for_body(10**7), room.for_body(10):
        waiting = asyncio.ensure_future(room.for_body(10**7).__aenter__())
        await asyncio.sleep(0)
        assert not waiting.done()
    await waiting


def test_a_door_that_counts_turns_closes_after_the_last(tmp_path: Path) -> None:
    door = Door(DoorKey("r", 1), SecretStr("t"), SecretBytes(b"k"), 1.0, tmp_path / "journal.json", max_answers=2)
    room = Room(door)
    for status in (200, 429, 502, 200):  # what failed was no turn
        room.admit()
        door.charge(Spent(), status)
    with pytest.raises(Refused, match="turns_used_up"):
        room.admit()
