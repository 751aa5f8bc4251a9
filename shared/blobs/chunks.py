"""How a blob is cut and named: chunks of 512 KiB at `blob.<class>.<sha256>.<generation>.<index>`. No I/O.

Nobody overwrites, so bytes that are stored again would keep their first age, and could be gone while they are needed. Therefore time is
cut into generations, four to the age of a class: whatever is put is stored in the generation of now, and lives for three more at least.
"""

from collections.abc import Iterator

from shared.events.values import BlobClass, BlobRef

CHUNK_BYTES = 512 * 1024

MIB = 1024 * 1024
MAX_BYTES = {
    BlobClass.WORKSPACE: 1024 * MIB,
    BlobClass.RESULT: 512 * MIB,
    BlobClass.CHECKPOINT: 512 * MIB,
    BlobClass.TRANSCRIPT: 64 * MIB,
    BlobClass.CHANGES: 64 * MIB,
}
"""How large one blob of a class may be. The class's stream bounds all of them together."""

DAY = 24 * 3_600
AGE_SECONDS = {
    BlobClass.WORKSPACE: 14 * DAY,
    BlobClass.RESULT: 30 * DAY,
    BlobClass.CHECKPOINT: 7 * DAY,
    BlobClass.TRANSCRIPT: 30 * DAY,
    BlobClass.CHANGES: 30 * DAY,
}
"""How long the class's stream keeps a chunk, unless its operator gave it another age.

A person has 7 days to decide about a change: three quarters of a workspace's.
"""
_GENERATIONS = 4
LONGEST = 4
"""How many times its age an operator may keep a class: so far back readers look."""


def count(size_bytes: int) -> int:
    """How many chunks a blob of this size has: at least one, so that an empty blob is stored too."""
    return max(1, -(-size_bytes // CHUNK_BYTES))


def generation(blob_class: BlobClass, now: float) -> int:
    """The generation of a moment (seconds since 1970)."""
    return int(now * _GENERATIONS // AGE_SECONDS[blob_class])


def generations(blob_class: BlobClass, now: float) -> Iterator[int]:
    """Where to look for a blob: the newest first, and last what a writer stored whose clock is ahead."""
    newest = generation(blob_class, now)
    yield from range(newest, newest - LONGEST * _GENERATIONS - 1, -1)
    yield newest + 1


def subject(ref: BlobRef, in_generation: int, index: int) -> str:
    """Where a chunk is stored."""
    return f"blob.{ref.blob_class}.{ref.sha256}.{in_generation}.{index}"


def index_of(chunk_subject: str) -> int:
    """Which chunk of its blob this is."""
    return int(chunk_subject.rpartition(".")[2])


def length(ref: BlobRef, index: int) -> int:
    """How long the chunk with this index is."""
    return min(CHUNK_BYTES, ref.size_bytes - index * CHUNK_BYTES)
