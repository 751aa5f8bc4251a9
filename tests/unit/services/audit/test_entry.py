import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit import entry
from services.audit.entry import Description, Entry

OWNER = "6f0f3b0e-2d52-4b52-8f7a-9f0f5b1a7c11"
TASK = "0c7fae18-7d0b-4a5c-9a55-1fd7c9d4f0aa"
AT = datetime(2026, 11, 22, 13, 0, 0, 123456, tzinfo=UTC)

EXACT = [
    (
        Entry("CMD", 1, "a", b"", datetime(1970, 1, 1, tzinfo=UTC), b""),
        "01 00000003 434d44 0000000000000001 00000001 61 00000000 0000000000000000 0000000000000000",
    ),
    (
        Entry("EVT", 258, "evt.x", entry.encode_headers({"B": "é", "A": ""}), datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), b"\x00\xff"),
        (
            "01 00000003 455654 0000000000000102 00000005 6576742e78"
            " 00000014 00000001 41 00000000 00000001 42 00000002 c3a9 00000000000f4240 0000000000000002 00ff"
        ),
    ),
    (
        Entry("DLQ", 2**40, "d", b"", datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), b"x"),
        "01 00000003 444c51 0000010000000000 00000001 64 00000000 ffffffffffffffff 0000000000000001 78",
    ),
]

ENTRIES = st.builds(
    Entry,
    stream=st.sampled_from(["CMD", "EVT", "DLQ", "ADV"]),
    stream_sequence=st.integers(min_value=0, max_value=2**63),
    subject=st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    headers=st.binary(max_size=5),
    stored_at=st.datetimes(timezones=st.just(UTC)),
    data=st.binary(max_size=5),
)


HEADERS = st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3)


@pytest.mark.parametrize(("message", "expected"), EXACT)
def test_a_leaf_is_these_exact_bytes(message: Entry, expected: str) -> None:
    assert message.leaf().hex() == expected.replace(" ", "")
    assert message.leaf_hash() == hashlib.sha256(b"\x00" + bytes.fromhex(expected)).digest()


@given(ENTRIES, ENTRIES)
def test_two_entries_share_their_bytes_only_if_they_are_one(one: Entry, other: Entry) -> None:
    assert (one.leaf() == other.leaf()) == (one == other)


def test_the_leaf_tells_apart_what_a_separator_would_not() -> None:
    one = Entry("CMD", 1, "ab", b"c", AT, b"d")
    other = Entry("CMD", 1, "a", b"bc", AT, b"d")
    later = Entry("CMD", 1, "ab", b"c", AT + timedelta(microseconds=1), b"d")
    assert len({one.leaf(), other.leaf(), later.leaf()}) == 3


def test_an_envelope_is_described_by_its_subject_and_its_attributes() -> None:
    data = f'{{"id": "{TASK}", "type": "run.started.v1", "owner": "another"}}'.encode()
    assert entry.describe(f"evt.run.started.{OWNER}.{TASK}", data) == Description(OWNER, TASK, TASK, "run.started.v1")


@pytest.mark.parametrize(
    ("subject", "data"),
    [
        ("evt.run.started.-.-", b"not json"),
        ("evt.run.started.OWNER.TASK", b"[]"),
        (f"evt.run.started.{OWNER.upper()}.{TASK.upper()}", b'{"id": 7, "type": "\\u0000"}'),
        (f"$JS.EVENT.ADVISORY.{OWNER}.{TASK}", b'{"id": "x", "type": ["a"]}'),
        (f"evt.run.{OWNER}.{TASK}", b"\xff\xfe"),
        ("", b"[" * 100_000),
        ("a", b'{"id": ' + b"9" * 5_000 + b"}"),
    ],
)
def test_what_is_no_envelope_is_described_as_nothing(subject: str, data: bytes) -> None:
    assert entry.describe(subject, data) == Description()


@given(st.text(max_size=8), st.text(max_size=8))
def test_subjects_stay_apart_and_hold_no_nul(one: str, other: str) -> None:
    assert "\0" not in entry.printable(one)
    assert (entry.printable(one) == entry.printable(other)) == (one == other)


@given(
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3),
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3),
)
def test_headers_share_their_bytes_only_if_they_are_the_same(one: dict[str, str], other: dict[str, str]) -> None:
    assert (entry.encode_headers(one) == entry.encode_headers(other)) == (one == other)


def test_headers_have_one_order() -> None:
    assert entry.encode_headers({"a": "1", "b": "2"}) == entry.encode_headers({"b": "2", "a": "1"})
