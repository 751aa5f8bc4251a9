"""How blobs are cut."""

from hypothesis import given
from hypothesis import strategies as st

from shared.blobs import chunks
from shared.events.values import BlobClass, BlobRef


def ref(size: int) -> BlobRef:
    return BlobRef(blob_class=BlobClass.RESULT, sha256="0" * 64, size_bytes=size)


@given(st.integers(min_value=0, max_value=chunks.MAX_BYTES[BlobClass.WORKSPACE]))
def test_the_chunks_add_up(size: int) -> None:
    lengths = [chunks.length(ref(size), index) for index in range(chunks.count(size))]
    assert sum(lengths) == size
    assert all(length == chunks.CHUNK_BYTES for length in lengths[:-1])
    assert size == 0 or lengths[-1] > 0


@given(st.integers(min_value=0, max_value=10_000))
def test_a_chunks_name_says_which_it_is(index: int) -> None:
    assert chunks.index_of(chunks.subject(ref(1), index)) == index
