from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from services.audit import checkpoint, verification
from services.audit.checkpoint import Checkpoint, VerifierKey
from services.audit.entry import Entry, describe
from services.audit.findings import Finding, Kind, Report
from services.audit.merkle import Frontier
from services.audit.verification import Row, Verification

NAME = "test.example/trail"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(32))
KEY = VerifierKey(NAME, PRIVATE.public_key().public_bytes_raw())
AT = datetime(2026, 1, 1, tzinfo=UTC)
STREAMS = ("CMD", "EVT", "DLQ")
SIZE, SEALED_AT = 24, (5, 11, 20)


def entry(number: int, data: bytes = b"data") -> Entry:
    return Entry(STREAMS[number % 3], number // 3 + 1, "cmd.x", b"", AT + timedelta(seconds=number), data + str(number).encode())


def row(number: int) -> Row:
    made = entry(number)
    return Row(number, made, describe(made.subject, made.data), made.leaf_hash())


ROWS = [row(number) for number in range(SIZE)]


def note(size: int, rows: list[Row] = ROWS, private: Ed25519PrivateKey = PRIVATE) -> str:
    return checkpoint.sign(Checkpoint(NAME, size, Frontier().extended(one.leaf_hash for one in rows[:size]).root), NAME, private)


PUBLISHED = "".join(f"{note(size)}\n" for size in SEALED_AT)


def verified(rows: list[Row], published: str = PUBLISHED, recorded: tuple[str, ...] = ()) -> Report:
    taken = Verification(KEY, published, recorded)
    for one in rows:
        taken.take(one)
    return taken.report()


def kinds(report: Report) -> list[tuple[Kind, int | None]]:
    return [(finding.kind, finding.index) for finding in report.findings]


def test_what_was_published_is_verified() -> None:
    report = verified(ROWS)
    assert report.verified
    assert (report.entries, report.sealed, report.unsealed, report.checkpoints) == (24, 20, 4, 3)
    assert report.streams == {"CMD": 8, "EVT": 8, "DLQ": 8}


@given(st.integers(min_value=0, max_value=SIZE - 1), st.integers(min_value=0))
def test_any_flipped_bit_of_an_entry_is_named(index: int, bit: int) -> None:
    data = ROWS[index].entry.data
    at = bit % (len(data) * 8)
    flipped = bytes(byte ^ (1 << at % 8 if number == at // 8 else 0) for number, byte in enumerate(data))
    changed = replace(ROWS[index], entry=replace(ROWS[index].entry, data=flipped))
    assert kinds(verified([*ROWS[:index], changed, *ROWS[index + 1 :]])) == [(Kind.FLIPPED, index)]


@given(st.integers(min_value=0, max_value=19))
def test_a_changed_entry_whose_hash_was_made_to_fit_is_found_between_two_checkpoints(index: int) -> None:
    forged = entry(index, b"forged")
    changed = replace(ROWS[index], entry=forged, leaf_hash=forged.leaf_hash())
    start, end = next((a, b) for a, b in zip((0, *SEALED_AT), SEALED_AT, strict=False) if a <= index < b)
    [finding] = verified([*ROWS[:index], changed, *ROWS[index + 1 :]]).findings
    assert (finding.kind, finding.index) == (Kind.ROOT, start)
    assert f"entries {start} to {end - 1}" in finding.message


@given(st.integers(min_value=0, max_value=19))
def test_a_changed_hash_of_a_sealed_entry_is_named(index: int) -> None:
    changed = replace(ROWS[index], leaf_hash=bytes(32))
    assert kinds(verified([*ROWS[:index], changed, *ROWS[index + 1 :]])) == [(Kind.HASH, index)]


@given(st.integers(min_value=0, max_value=19))
def test_a_removed_row_is_named(index: int) -> None:
    report = verified([*ROWS[:index], *ROWS[index + 1 :]])
    assert (Kind.REMOVED, index) in kinds(report)
    gap = next(finding for finding in report.findings if finding.kind is Kind.GAP)
    assert gap.expected == f"{ROWS[index].entry.stream} {ROWS[index].entry.stream_sequence}"


@given(st.integers(min_value=0, max_value=19), st.integers(min_value=100, max_value=1000))
def test_an_inserted_row_is_named_wherever_it_is(index: int, sequence: int) -> None:
    intruder = replace(entry(index), stream_sequence=sequence, data=b"never happened")
    rows = [one.entry for one in ROWS[:index]] + [intruder] + [one.entry for one in ROWS[index:]]
    report = verified([Row(number, one, describe(one.subject, one.data), one.leaf_hash()) for number, one in enumerate(rows)])
    assert (Kind.INSERTED, index) in kinds(report)
    assert Kind.ROOT in [kind for kind, _ in kinds(report)]


@given(st.integers(min_value=0, max_value=SIZE - 4))
def test_a_swapped_pair_of_one_stream_is_named(index: int) -> None:
    rows = list(ROWS)
    rows[index], rows[index + 3] = replace(ROWS[index + 3], index=index), replace(ROWS[index], index=index + 3)
    assert (Kind.SWAPPED, index) in kinds(verified(rows))


@given(st.lists(st.integers(min_value=0, max_value=19), min_size=2, max_size=6, unique=True))
def test_no_other_order_of_sealed_entries_is_verified(places: list[int]) -> None:
    rows = list(ROWS)
    moved = [*places[1:], places[0]]
    for place, origin in zip(places, moved, strict=True):
        rows[place] = replace(ROWS[origin], index=place)
    assert not verified(rows).verified


@given(st.integers(min_value=0, max_value=19))
def test_a_cut_tail_is_named(size: int) -> None:
    assert (Kind.TRUNCATED, size) in kinds(verified(ROWS[:size]))


def test_a_row_that_is_there_twice_is_named() -> None:
    assert (Kind.INSERTED, 3) in kinds(verified([*ROWS[:4], ROWS[3], *ROWS[4:]]))


def test_a_column_that_says_something_else_is_named() -> None:
    changed = replace(ROWS[9], description=replace(ROWS[9].description, owner="somebody"))
    [finding] = verified([*ROWS[:9], changed, *ROWS[10:]]).findings
    assert (finding.kind, finding.index, finding.expected, finding.got) == (Kind.COLUMN, 9, "None", "somebody")


def test_a_log_that_was_signed_with_another_key_is_not_verified() -> None:
    published = note(20, private=Ed25519PrivateKey.generate()) + "\n"
    assert kinds(verified(ROWS, published)) == [(Kind.CHECKPOINT, None), (Kind.UNSEALED, None)]


def test_a_key_that_signed_two_histories_is_found() -> None:
    """The operator's own key: only who keeps an earlier checkpoint can tell."""
    other = [*ROWS[:3], replace(ROWS[3], leaf_hash=bytes(32)), *ROWS[4:]]
    assert (Kind.CHECKPOINT, None) in kinds(verified(ROWS, PUBLISHED, (note(11, other),)))
    assert Kind.CHECKPOINT in dict(kinds(verified(ROWS, f"{PUBLISHED}{note(11, other)}\n")))


def test_what_the_database_sealed_narrows_the_range() -> None:
    forged = entry(13, b"forged")
    changed = replace(ROWS[13], entry=forged, leaf_hash=forged.leaf_hash())
    [finding] = verified([*ROWS[:13], changed, *ROWS[14:]], recorded=(note(13), note(14))).findings
    assert (finding.kind, finding.index) == (Kind.ROOT, 13)
    assert "entries 13 to 13" in finding.message


@pytest.mark.parametrize("published", ["", "garbage", PUBLISHED[:-1], PUBLISHED.replace("\n11\n", "\n12\n"), PUBLISHED.replace("— ", "- ")])
def test_a_published_file_that_was_damaged_is_found(published: str) -> None:
    assert not verified(ROWS, published).verified


def test_a_log_of_which_nothing_is_right_is_reported_within_bounds() -> None:
    rows = [replace(ROWS[0], index=-number) for number in range(verification.MAX_FINDINGS + 10)]
    report = verified(rows)
    assert len(report.findings) == verification.MAX_FINDINGS
    assert report.more_findings > 0


def test_an_empty_log_with_nothing_published_proves_nothing() -> None:
    assert verified([], "").findings == (Finding(Kind.UNSEALED, "no published checkpoint holds: nothing is proved"),)
