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


@given(st.integers(min_value=0, max_value=10_000), st.integers(min_value=0, max_value=10_000))
def test_a_chunks_name_says_which_it_is(generation: int, index: int) -> None:
    assert chunks.index_of(chunks.subject(ref(1), generation, index)) == index


@given(st.sampled_from(BlobClass), st.floats(min_value=1e9, max_value=4e9), st.floats(min_value=0, max_value=1))
def test_what_was_put_is_looked_for_as_long_as_the_stream_keeps_it(blob_class: BlobClass, put: float, part: float) -> None:
    read = put + part * chunks.AGE_SECONDS[blob_class]
    assert chunks.generation(blob_class, put) in chunks.generations(blob_class, read)


@given(st.sampled_from(BlobClass), st.floats(min_value=1e9, max_value=4e9), st.floats(min_value=0, max_value=chunks.LONGEST))
def test_also_where_an_operator_keeps_it_for_as_long_as_may_be(blob_class: BlobClass, put: float, part: float) -> None:
    read = put + part * chunks.AGE_SECONDS[blob_class]
    assert chunks.generation(blob_class, put) in chunks.generations(blob_class, read)
