"""Blobs: content under its own SHA-256, written once in a generation, checked by every reader.

A name can be taken by wrong bytes (its writer alone could), never changed afterwards, and wrong bytes are noticed: so a reader may
believe what it gets, and looks in an older generation when a newer one holds none or wrong ones. It must never hold more of a file in
memory than one page of chunks.
"""

import asyncio
import hashlib
import io
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from shared.blobs import chunks
from shared.blobs.errors import BlobCorrupt, BlobMissing, BlobStoreFull, BlobTooLarge
from shared.bus.connection import Bus
from shared.bus.errors import AlreadyStored, StoreFull
from shared.bus.publishing import Unstored
from shared.bus.streams import blob_stream
from shared.events.values import BlobClass, BlobRef

_WRITES_AT_ONCE = 8
_PAGE = 16
_ATTEMPTS = 6
_PAUSE_SECONDS = 0.5

T = TypeVar("T")

ReadChunk = Callable[[int], Awaitable[bytes]]


class BlobStore:
    """Writes and reads blobs over the bus, with whatever rights its user has on each class."""

    def __init__(self, bus: Bus, now: Callable[[], float] = time.time) -> None:
        self._bus = bus
        self._now = now

    async def put_bytes(self, blob_class: BlobClass, data: bytes) -> BlobRef:
        """Store `data` for three quarters of its class's age at least; stored already is as good.

        Raises BlobTooLarge, BlobStoreFull, NotPermitted, Unstored.
        """
        _within(len(data), chunks.MAX_BYTES[blob_class])
        ref = BlobRef(blob_class=blob_class, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))

        async def read(index: int) -> bytes:
            return data[index * chunks.CHUNK_BYTES :][: chunks.CHUNK_BYTES]

        await self._put(ref, read)
        return ref

    async def put_file(self, blob_class: BlobClass, path: Path) -> BlobRef:
        """Store a file, which must not change meanwhile. Raises as `put_bytes`, and BlobCorrupt when it did change."""
        size = (await asyncio.to_thread(path.stat)).st_size
        _within(size, chunks.MAX_BYTES[blob_class])
        with path.open("rb") as file:
            digest = await asyncio.to_thread(hashlib.file_digest, file, "sha256")
            ref = BlobRef(blob_class=blob_class, sha256=digest.hexdigest(), size_bytes=size)

            async def read(index: int) -> bytes:
                return await asyncio.to_thread(os.pread, file.fileno(), chunks.CHUNK_BYTES, index * chunks.CHUNK_BYTES)

            await self._put(ref, read)
        return ref

    async def get_bytes(self, ref: BlobRef, max_bytes: int) -> bytes:
        """The blob's bytes. Raises BlobTooLarge over `max_bytes`, BlobMissing, BlobCorrupt, ReadFailed."""
        _within(ref.size_bytes, max_bytes)

        async def read(generation: int) -> bytes:
            found = bytearray(ref.size_bytes)
            async for index, data in self._chunks(ref, generation):
                start = index * chunks.CHUNK_BYTES
                found[start : start + len(data)] = data
            whole = bytes(found)
            _check(ref, (await asyncio.to_thread(hashlib.sha256, whole)).hexdigest())  # of 64 MiB: a tenth of a second of everybody's
            return whole

        return await self._newest(ref, read)

    async def get_file(self, ref: BlobRef, path: Path) -> None:
        """Write the blob to `path`, which appears only when all of it is there and right. Raises as `get_bytes`."""

        async def read(generation: int) -> None:
            with _appearing(path) as file:
                async for index, data in self._chunks(ref, generation):
                    os.pwrite(file.fileno(), data, index * chunks.CHUNK_BYTES)
                file.seek(0)
                digest = await asyncio.to_thread(hashlib.file_digest, file, "sha256")
                _check(ref, digest.hexdigest())

        await self._newest(ref, read)

    async def _newest(self, ref: BlobRef, read: Callable[[int], Awaitable[T]]) -> T:
        """From the newest generation that is complete and right. A wrong one is said rather than that others are missing."""
        wrong: BlobMissing | BlobCorrupt | None = None
        for generation in chunks.generations(ref.blob_class, self._now()):
            try:
                return await read(generation)
            except BlobMissing as error:
                wrong = wrong or error
            except BlobCorrupt as error:
                wrong = error
        raise wrong or BlobMissing(ref.sha256)

    async def _put(self, ref: BlobRef, read: ReadChunk) -> None:
        """The last chunk goes last: a reader that finds it finds all of them."""
        last, generation = chunks.count(ref.size_bytes) - 1, chunks.generation(ref.blob_class, self._now())
        for first in range(0, last, _WRITES_AT_ONCE):
            await self._put_together(ref, generation, range(first, min(first + _WRITES_AT_ONCE, last)), read)
        await self._put_chunk(ref, generation, last, await read(last))

    async def _put_together(self, ref: BlobRef, generation: int, indexes: range, read: ReadChunk) -> None:
        """Several chunks at once. The first failure is raised as it is: callers tell failures apart by type, which a group would hide."""
        try:
            async with asyncio.TaskGroup() as group:
                for index in indexes:
                    group.create_task(self._put_chunk(ref, generation, index, await read(index)))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures

    async def _put_chunk(self, ref: BlobRef, generation: int, index: int, data: bytes) -> None:
        if len(data) != chunks.length(ref, index):
            raise BlobCorrupt(f"chunk {index} of {ref.sha256} changed while it was stored")
        stream = blob_stream(ref.blob_class)
        headers = {"Blob-Size": str(ref.size_bytes), "Blob-Chunks": str(chunks.count(ref.size_bytes))}
        for left in reversed(range(_ATTEMPTS)):
            try:
                await self._bus.publisher.attempt(stream, chunks.subject(ref, generation, index), data, headers)
            except AlreadyStored:
                return
            except StoreFull as error:
                raise BlobStoreFull(stream) from error
            except Unstored:
                if not left:
                    raise
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return

    async def _chunks(self, ref: BlobRef, generation: int) -> AsyncIterator[tuple[int, bytes]]:
        stream, total = blob_stream(ref.blob_class), chunks.count(ref.size_bytes)
        for first in range(0, total, _PAGE):
            wanted = [chunks.subject(ref, generation, index) for index in range(first, min(first + _PAGE, total))]
            page = await self._bus.reader.last_of_each(stream, wanted)
            if {message.subject for message in page} != set(wanted):
                raise BlobMissing(f"{ref.blob_class} {ref.sha256}: {len(page)} of {len(wanted)} chunks")
            for message in page:
                index = chunks.index_of(message.subject)
                if len(message.data) != chunks.length(ref, index):
                    raise BlobCorrupt(f"{ref.blob_class} {ref.sha256}: chunk {index} has the wrong length")
                yield index, message.data


@contextmanager
def _appearing(path: Path) -> Generator[io.BufferedRandom]:
    """A file beside `path` that takes its place when the block ends well, and is gone when it does not."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _within(size: int, limit: int) -> None:
    if size > limit:
        raise BlobTooLarge(f"{size} bytes, at most {limit}")


def _check(ref: BlobRef, digest: str) -> None:
    if digest != ref.sha256:
        raise BlobCorrupt(f"{ref.blob_class} {ref.sha256} holds other bytes")
