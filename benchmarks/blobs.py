"""Blobs: storing and reading files, beside the same chunks over the same connection without names, hashes and files."""

import asyncio
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import servers
from benchmarks.figures import LOAD, Answer, Row, Say, load, median, ratio
from shared.blobs import chunks
from shared.blobs.store import BlobStore
from shared.bus.connection import Bus
from shared.bus.streams import blob_stream
from shared.events.values import BlobClass, BlobRef

_MIB = 1024 * 1024
_AT_ONCE = 8
_PAGE = 16
_STORE_BYTES = 32 * 1024**3
"""Nothing is deleted meanwhile, and the class's stream has a sixth of it."""
_STREAM = blob_stream(BlobClass.WORKSPACE)


async def measure(sizes_mib: tuple[int, ...], rounds: int, say: Say) -> Answer:
    """Each size `rounds` times: ours, then the same chunks bare, in turn."""
    rows: list[Row] = []
    async with servers.nats(store_bytes=_STORE_BYTES) as nats:
        bus = await Bus.connect(nats.settings("git"))
        try:
            with TemporaryDirectory(prefix="async-code-blobs-", dir="/var/lib") as directory:
                for size in sizes_mib:
                    rows += await _size(bus, Path(directory), size, rounds)
                    say(f"blobs: {size} MiB")
        finally:
            await bus.stop()
    return Answer("blobs", "How fast are blobs beside bare JetStream?", _METHOD, tuple(rows))


async def _size(bus: Bus, directory: Path, size_mib: int, rounds: int) -> list[Row]:
    store = BlobStore(bus)
    written, put, read, got, disk = list[float](), list[float](), list[float](), list[float](), list[float]()
    for _ in range(rounds):
        source, target = directory / "source", directory / "target"
        source.write_bytes(os.urandom(size_mib * _MIB))
        began = time.monotonic()
        ref = await store.put_file(BlobClass.WORKSPACE, source)
        written.append(time.monotonic() - began)
        bare = ref.model_copy(update={"sha256": os.urandom(32).hex()})
        data = source.read_bytes()
        put.append(await _put_bare(bus, bare, data))
        began = time.monotonic()
        await store.get_file(ref, target)
        read.append(time.monotonic() - began)
        got.append(await _get_bare(bus, bare))
        disk.append(_written_through(directory / "limit", data))
    return [_row(size_mib, "write", written, put, disk), _row(size_mib, "read", read, got, None)]


def _row(size_mib: int, what: str, ours: list[float], peer: list[float], disk: list[float] | None) -> Row:
    return {
        "MiB": size_mib,
        "what": what,
        "ours MiB/s": size_mib / median(ours),
        "bare JetStream MiB/s": size_mib / median(peer),
        "ours / bare (time)": ratio(median(ours), median(peer)),
        "file with fsync per chunk MiB/s": size_mib / median(disk) if disk else None,
        "rounds": len(ours),
        LOAD: load(),
    }


async def _put_bare(bus: Bus, ref: BlobRef, data: bytes) -> float:
    context = bus.nats.jetstream()  # pyright: ignore[reportUnknownMemberType]
    generation = chunks.generation(ref.blob_class, time.time())
    began = time.monotonic()
    for first in range(0, chunks.count(len(data)), _AT_ONCE):
        await asyncio.gather(
            *(
                context.publish(  # pyright: ignore[reportUnknownMemberType]
                    chunks.subject(ref, generation, index), _chunk(data, index), stream=_STREAM
                )
                for index in range(first, min(first + _AT_ONCE, chunks.count(len(data))))
            )
        )
    return time.monotonic() - began


def _chunk(data: bytes, index: int) -> bytes:
    return data[index * chunks.CHUNK_BYTES : (index + 1) * chunks.CHUNK_BYTES]


async def _get_bare(bus: Bus, ref: BlobRef) -> float:
    generation, total = chunks.generation(ref.blob_class, time.time()), chunks.count(ref.size_bytes)
    began = time.monotonic()
    for first in range(0, total, _PAGE):
        wanted = [chunks.subject(ref, generation, index) for index in range(first, min(first + _PAGE, total))]
        found = await bus.reader.last_of_each(_STREAM, wanted)
        if len(found) != len(wanted):
            raise RuntimeError("a chunk is missing")
    return time.monotonic() - began


def _written_through(path: Path, data: bytes) -> float:
    """Seconds to write the same chunks to a file, each on the disk before the next: what `sync_interval: always` asks of the disk."""
    began = time.monotonic()
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(data), chunks.CHUNK_BYTES):
            file.write(data[start : start + chunks.CHUNK_BYTES])
            os.fdatasync(file.fileno())
    return time.monotonic() - began


_METHOD = (
    "`BlobStore.put_file` and `get_file` of random bytes beside the same chunks of 512 KiB, published and read by batched Direct Get over "
    "the same connection, as many at once, from and to memory, without hash, file and check; one server with `sync_interval: always`. The "
    "disk's limit is a file to which each chunk is written through (fdatasync). Monotonic clock of one process."
)
