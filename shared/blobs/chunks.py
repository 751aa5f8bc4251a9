"""How a blob is cut and named: chunks of 512 KiB at `blob.<class>.<sha256>.<index>`. No I/O."""

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


def count(size_bytes: int) -> int:
    """How many chunks a blob of this size has: at least one, so that an empty blob is stored too."""
    return max(1, -(-size_bytes // CHUNK_BYTES))


def subject(ref: BlobRef, index: int) -> str:
    """Where a chunk is stored."""
    return f"blob.{ref.blob_class}.{ref.sha256}.{index}"


def index_of(chunk_subject: str) -> int:
    """Which chunk of its blob this is."""
    return int(chunk_subject.rpartition(".")[2])


def length(ref: BlobRef, index: int) -> int:
    """How long the chunk with this index is."""
    return min(CHUNK_BYTES, ref.size_bytes - index * CHUNK_BYTES)
