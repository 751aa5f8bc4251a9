"""Blobs on a real server: round trips, and every way in which one can be wrong."""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.blobs import BlobCorrupt, BlobMissing, BlobStore, BlobStoreFull, BlobTooLarge, chunks
from shared.blobs.chunks import AGE_SECONDS, CHUNK_BYTES
from shared.bus import Bus
from shared.bus.errors import AlreadyStored, NotPermitted
from shared.bus.streams import Stream
from shared.events.values import BlobClass, BlobRef
from tests.servers.nats import NatsServer, running


@pytest.fixture
async def runner(nats_server: NatsServer) -> AsyncIterator[Bus]:
    bus = await Bus.connect(nats_server.settings("runner"))
    yield bus
    await bus.stop()


@pytest.fixture
async def git(nats_server: NatsServer) -> AsyncIterator[Bus]:
    bus = await Bus.connect(nats_server.settings("git"))
    yield bus
    await bus.stop()


async def put_many(store: BlobStore, count: int) -> None:
    for _ in range(count):
        await store.put_bytes(BlobClass.RESULT, os.urandom(CHUNK_BYTES))


def named(data: bytes, blob_class: BlobClass = BlobClass.RESULT, size: int | None = None) -> BlobRef:
    return BlobRef(blob_class=blob_class, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data) if size is None else size)


def chunk(ref: BlobRef, at: float | None = None) -> str:
    """Where the blob's first chunk is stored when it is put now."""
    return chunks.subject(ref, chunks.generation(ref.blob_class, time.time() if at is None else at), 0)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 20 * CHUNK_BYTES + 7])
async def test_what_one_service_puts_another_gets(runner: Bus, git: Bus, size: int) -> None:
    data = os.urandom(size)
    ref = await BlobStore(runner).put_bytes(BlobClass.RESULT, data)
    assert ref == named(data)
    assert await BlobStore(git).get_bytes(ref, max_bytes=size) == data


async def test_files_round_trip_and_leave_nothing_beside_them(git: Bus, runner: Bus, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "there" / "target"
    source.write_bytes(os.urandom(3 * CHUNK_BYTES + 5))
    target.parent.mkdir()
    ref = await BlobStore(git).put_file(BlobClass.WORKSPACE, source)
    await BlobStore(runner).get_file(ref, target)
    assert target.read_bytes() == source.read_bytes()
    assert list(target.parent.iterdir()) == [target]


async def test_putting_twice_is_putting_once(runner: Bus, git: Bus) -> None:
    data = os.urandom(CHUNK_BYTES + 1)
    first = await BlobStore(runner).put_bytes(BlobClass.RESULT, data)
    assert await BlobStore(runner).put_bytes(BlobClass.RESULT, data) == first
    assert await BlobStore(git).get_bytes(first, max_bytes=len(data)) == data


async def test_a_put_that_broke_off_is_completed(runner: Bus, git: Bus) -> None:
    data = os.urandom(2 * CHUNK_BYTES)
    ref = named(data)
    await runner.publisher.attempt(Stream.BLOB_RESULT, chunk(ref), data[:CHUNK_BYTES], {})
    with pytest.raises(BlobMissing, match="1 of 2"):
        await BlobStore(git).get_bytes(ref, max_bytes=len(data))
    await BlobStore(runner).put_bytes(BlobClass.RESULT, data)
    assert await BlobStore(git).get_bytes(ref, max_bytes=len(data)) == data


async def test_a_server_that_dies_meanwhile_does_not_break_a_put(nats_server: NatsServer, runner: Bus, git: Bus) -> None:
    data = os.urandom(60 * CHUNK_BYTES)
    putting = asyncio.create_task(BlobStore(runner).put_bytes(BlobClass.RESULT, data))
    while not await git.read(Stream.BLOB_RESULT, "blob.result.>", after=0, limit=1):
        assert not putting.done()
    await nats_server.kill()
    await nats_server.restart()
    ref = await asyncio.wait_for(putting, 60)
    assert await BlobStore(git).get_bytes(ref, max_bytes=len(data)) == data


@pytest.mark.parametrize("quarters", [0, 1, 2, 3, 4])
async def test_what_is_put_again_is_found_as_long_as_if_it_were_new(runner: Bus, git: Bus, quarters: int) -> None:
    data, age = os.urandom(CHUNK_BYTES + 1), AGE_SECONDS[BlobClass.RESULT]
    first, again = time.time(), time.time() + quarters * age / 4
    ref = await BlobStore(runner, lambda: first).put_bytes(BlobClass.RESULT, data)
    assert await BlobStore(git, lambda: again).get_bytes(ref, max_bytes=len(data)) == data
    await BlobStore(runner, lambda: again).put_bytes(BlobClass.RESULT, data)
    (stored,) = await git.reader.last_of_each(Stream.BLOB_RESULT, [chunk(ref, again)])
    assert stored.data == data[:CHUNK_BYTES]
    assert await BlobStore(git, lambda: again + 3 * age / 4).get_bytes(ref, max_bytes=len(data)) == data


async def test_clocks_that_differ_a_little_hinder_nothing(runner: Bus, git: Bus) -> None:
    boundary = chunks.generation(BlobClass.RESULT, time.time()) * AGE_SECONDS[BlobClass.RESULT] / 4
    for writer, reader in ((boundary + 1, boundary - 1), (boundary - 1, boundary + 1)):
        data = os.urandom(10)
        ref = await BlobStore(runner, lambda at=writer: at).put_bytes(BlobClass.RESULT, data)
        assert await BlobStore(git, lambda at=reader: at).get_bytes(ref, max_bytes=10) == data


async def test_wrong_bytes_in_a_newer_generation_hide_no_right_ones(runner: Bus, git: Bus, tmp_path: Path) -> None:
    before = time.time() - AGE_SECONDS[BlobClass.RESULT] / 4
    ref = await BlobStore(runner, lambda: before).put_bytes(BlobClass.RESULT, b"right")
    await runner.publisher.attempt(Stream.BLOB_RESULT, chunk(ref), b"wrong", {})
    assert await BlobStore(git).get_bytes(ref, max_bytes=10) == b"right"
    await BlobStore(git).get_file(ref, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"right"


async def test_nobody_overwrites(runner: Bus) -> None:
    ref = await BlobStore(runner).put_bytes(BlobClass.RESULT, b"first")
    with pytest.raises(AlreadyStored):
        await runner.publisher.attempt(Stream.BLOB_RESULT, chunk(ref), b"other", {})


async def test_a_rollup_does_not_empty_the_stream(runner: Bus, git: Bus) -> None:
    ref = await BlobStore(runner).put_bytes(BlobClass.RESULT, b"stays")
    with pytest.raises(Exception, match="rollup"):
        await runner.publisher.attempt(Stream.BLOB_RESULT, "blob.result.x.0", b"", {"Nats-Rollup": "all"})
    assert await BlobStore(git).get_bytes(ref, max_bytes=10) == b"stays"


async def test_wrong_bytes_under_a_name_are_noticed(runner: Bus, git: Bus, tmp_path: Path) -> None:
    ref = named(b"right")
    await runner.publisher.attempt(Stream.BLOB_RESULT, chunk(ref), b"wrong", {})
    with pytest.raises(BlobCorrupt):
        await BlobStore(git).get_bytes(ref, max_bytes=10)
    with pytest.raises(BlobCorrupt):
        await BlobStore(git).get_file(ref, tmp_path / "target")
    assert not [path for path in await asyncio.to_thread(lambda: list(tmp_path.iterdir())) if "target" in path.name]


async def test_a_chunk_of_the_wrong_length_is_noticed(runner: Bus, git: Bus) -> None:
    ref = named(b"right", size=3)
    await runner.publisher.attempt(Stream.BLOB_RESULT, chunk(ref), b"right", {})
    with pytest.raises(BlobCorrupt, match="length"):
        await BlobStore(git).get_bytes(ref, max_bytes=10)


async def test_over_the_readers_cap_nothing_is_read(git: Bus) -> None:
    with pytest.raises(BlobTooLarge):
        await BlobStore(git).get_bytes(named(b"12345"), max_bytes=4)


async def test_over_the_class_cap_nothing_is_written(runner: Bus, tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(64 * 1024 * 1024 + 1)
    with pytest.raises(BlobTooLarge):
        await BlobStore(runner).put_file(BlobClass.TRANSCRIPT, large)


async def test_what_was_never_put_is_missing(git: Bus) -> None:
    with pytest.raises(BlobMissing):
        await BlobStore(git).get_bytes(named(b"never"), max_bytes=10)


async def test_each_class_has_its_writer_and_readers(nats_server: NatsServer) -> None:
    settings = nats_server.settings("git")
    git = await Bus.connect(settings)
    with pytest.raises(NotPermitted):
        await git.publisher.attempt(Stream.BLOB_RESULT, "blob.result.x.0", b"", {}, timeout_seconds=1)
    with pytest.raises(NotPermitted):
        await git.reader.last(Stream.BLOB_TRANSCRIPT, "blob.transcript.x.0")
    await git.stop()


async def test_a_full_class_stops_neither_commands_nor_other_classes(tmp_path: Path) -> None:
    async for server in running(tmp_path / "small", store_bytes=20 * 1024 * 1024):
        runner = await Bus.connect(server.settings("runner"))
        scheduler = await Bus.connect(server.settings("scheduler"))
        store = BlobStore(runner)
        with pytest.raises(BlobStoreFull):
            await put_many(store, 100)
        with pytest.raises(BlobStoreFull):  # also where several of its chunks are refused at once
            await store.put_bytes(BlobClass.RESULT, os.urandom(12 * CHUNK_BYTES))
        await store.put_bytes(BlobClass.CHECKPOINT, b"room")
        await scheduler.store(Stream.CMD, "cmd.runner.start.-.-", b"work", "an-id")
        await scheduler.stop()
        await runner.stop()
