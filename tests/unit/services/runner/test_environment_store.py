"""What set-ups made: kept whole or not at all, the least recently used dropped, made once at a time."""

import asyncio
import os
from pathlib import Path

import pytest

from services.runner.environment_store import EnvironmentStore
from services.runner.errors import SetupFailed

A, B, C = "a" * 64, "b" * 64, "c" * 64


def _made(room: Path, size: int) -> Path:
    path = room / "made.tar"
    path.unlink(missing_ok=True)
    path.write_bytes(b"x" * size)
    return path


def _store(room: Path, max_bytes: int = 100) -> EnvironmentStore:
    store = EnvironmentStore(room / "environments", max_bytes)
    store.open()
    return store


async def test_what_was_kept_is_found_under_its_key_alone(tmp_path: Path) -> None:
    store = _store(tmp_path)
    assert not await store.take(A, tmp_path / "none")
    await store.keep(A, _made(tmp_path, 10))
    assert await _store(tmp_path).take(A, tmp_path / "taken"), "also by the next process"
    assert not await store.take(B, tmp_path / "other")
    await store.drop(A)
    assert not await store.take(A, tmp_path / "gone")
    assert (tmp_path / "taken").stat().st_size == 10, "what was taken stays"


async def test_the_least_recently_used_is_dropped_and_the_newest_never(tmp_path: Path) -> None:
    store = _store(tmp_path, max_bytes=100)
    for moment, key in enumerate((A, B)):
        await store.keep(key, _made(tmp_path, 40))
        os.utime(tmp_path / "environments" / f"{key}.tar", (moment, moment))
    assert await store.take(A, tmp_path / "used")
    await store.keep(C, _made(tmp_path, 40))
    found = [await store.take(key, tmp_path / f"found-{key}") for key in (A, B, C)]
    assert found == [True, False, True]
    await store.keep(B, _made(tmp_path, 400))
    assert [path.stem for path in (tmp_path / "environments").iterdir()] == [B]


async def test_what_a_dead_process_did_not_finish_is_cleared(tmp_path: Path) -> None:
    store = _store(tmp_path)
    (tmp_path / "environments" / "x.new").write_bytes(b"half")
    store.open()
    assert not list((tmp_path / "environments").iterdir())


async def test_a_disk_that_takes_nothing_is_no_failure(tmp_path: Path) -> None:
    store = _store(tmp_path)
    await store.keep(A, tmp_path / "is-not-there")
    assert not await store.take(A, tmp_path / "taken")


async def test_one_makes_it_and_who_waits_finds_it_or_fails_alike(tmp_path: Path) -> None:
    store, order = _store(tmp_path), list[str]()
    may_end = asyncio.Event()

    async def make(name: str, failure: SetupFailed | None = None) -> None:
        async with store.turn(A):
            order.append(name)
            await may_end.wait()
            if failure is not None:
                raise failure

    first = asyncio.create_task(make("first"))
    second = asyncio.create_task(make("second", SetupFailed("ended with 1")))
    third = asyncio.create_task(make("third"))
    await asyncio.sleep(0)
    assert order == ["first"]
    async with store.turn(B):
        pass  # another one waits for nobody
    may_end.set()
    ends = await asyncio.gather(first, second, third, return_exceptions=True)
    assert order == ["first", "second"]
    assert [type(end) for end in ends] == [type(None), SetupFailed, SetupFailed]
    async with store.turn(A):
        pass  # who comes later tries anew


async def test_who_gives_up_leaves_the_turn_to_the_next(tmp_path: Path) -> None:
    store = _store(tmp_path)
    inside = asyncio.Event()

    async def stay() -> None:
        async with store.turn(A):
            inside.set()
            await asyncio.Event().wait()

    staying = asyncio.create_task(stay())
    await inside.wait()
    staying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await staying
    async with asyncio.timeout(5), store.turn(A):
        pass
