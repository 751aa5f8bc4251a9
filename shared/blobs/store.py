"""Blobs: content under its own SHA-256, written once, checked by every reader.

A name can be taken by wrong bytes (its writer alone could), never changed afterwards, and wrong bytes are noticed: so a reader may
believe what it gets. It must never hold more of a file in memory than one page of chunks.
"""

import asyncio
import hashlib
import io
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path

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

ReadChunk = Callable[[int], Awaitable[bytes]]


class BlobStore:
    """Writes and reads blobs over the bus, with whatever rights its user has on each class."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def put_bytes(self, blob_class: BlobClass, data: bytes) -> BlobRef:
        """Store `data`; stored already is as good. Raises BlobTooLarge, BlobStoreFull, NotPermitted, Unstored."""
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
        found = bytearray(ref.size_bytes)
        async for index, data in self._chunks(ref):
            start = index * chunks.CHUNK_BYTES
            found[start : start + len(data)] = data
        whole = bytes(found)
        _check(ref, hashlib.sha256(whole).hexdigest())
        return whole

    async def get_file(self, ref: BlobRef, path: Path) -> None:
        """Write the blob to `path`, which appears only when all of it is there and right. Raises as `get_bytes`."""
        with _appearing(path) as file:
            async for index, data in self._chunks(ref):
                os.pwrite(file.fileno(), data, index * chunks.CHUNK_BYTES)
            file.seek(0)
            digest = await asyncio.to_thread(hashlib.file_digest, file, "sha256")
            _check(ref, digest.hexdigest())

    async def _put(self, ref: BlobRef, read: ReadChunk) -> None:
        """The last chunk goes last: a reader that finds it finds all of them."""
        last = chunks.count(ref.size_bytes) - 1
        for first in range(0, last, _WRITES_AT_ONCE):
            await self._put_together(ref, range(first, min(first + _WRITES_AT_ONCE, last)), read)
        await self._put_chunk(ref, last, await read(last))

    async def _put_together(self, ref: BlobRef, indexes: range, read: ReadChunk) -> None:
        """Several chunks at once. The first failure is raised as it is: callers tell failures apart by type, which a group would hide."""
        try:
            async with asyncio.TaskGroup() as group:
                for index in indexes:
                    group.create_task(self._put_chunk(ref, index, await read(index)))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures

    async def _put_chunk(self, ref: BlobRef, index: int, data: bytes) -> None:
        if len(data) != chunks.length(ref, index):
            raise BlobCorrupt(f"chunk {index} of {ref.sha256} changed while it was stored")
        stream = blob_stream(ref.blob_class)
        headers = {"Blob-Size": str(ref.size_bytes), "Blob-Chunks": str(chunks.count(ref.size_bytes))}
        for left in reversed(range(_ATTEMPTS)):
            try:
                await self._bus.publisher.attempt(stream, chunks.subject(ref, index), data, headers)
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

    async def _chunks(self, ref: BlobRef) -> AsyncIterator[tuple[int, bytes]]:
        stream, total = blob_stream(ref.blob_class), chunks.count(ref.size_bytes)
        for first in range(0, total, _PAGE):
            wanted = [chunks.subject(ref, index) for index in range(first, min(first + _PAGE, total))]
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
