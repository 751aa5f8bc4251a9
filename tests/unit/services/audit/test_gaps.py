import pytest

from services.audit.gaps import Break, Continuity, Gap, Intruder, Repeated, Swapped


def breaks(sequences: list[int]) -> list[Break]:
    continuity = Continuity()
    for index, sequence in enumerate(sequences):
        continuity.follow(index, "EVT", sequence)
    return continuity.close()


@pytest.mark.parametrize(
    ("sequences", "expected"),
    [
        ([], []),
        ([1, 2, 3, 4], []),
        ([2, 3], [Gap("EVT", 1, 1, 0)]),
        ([1, 2, 5, 6], [Gap("EVT", 3, 4, 2)]),
        ([1, 2, 5], [Gap("EVT", 3, 4, 2)]),
        ([1, 3, 5, 6], [Gap("EVT", 2, 2, 1), Gap("EVT", 4, 4, 2)]),
        ([1, 2, 2, 3], [Repeated("EVT", 2, 3, 2)]),
        ([1, 2, 1000, 3, 4], [Intruder("EVT", 1000, 3, 2)]),
        ([1000, 1, 2], [Intruder("EVT", 1000, 1, 0)]),
        ([1, 2, 4, 3, 5], [Swapped("EVT", 4, 3, 2, 3)]),
        ([2, 1, 3], [Swapped("EVT", 2, 1, 0, 1)]),
        ([1, 3, 2, 5, 4], [Swapped("EVT", 3, 2, 1, 2), Swapped("EVT", 5, 4, 3, 4)]),
        ([1, 3, 2, 6], [Swapped("EVT", 3, 2, 1, 2), Gap("EVT", 4, 5, 3)]),
    ],
)
def test_what_breaks_a_stream_is_named(sequences: list[int], expected: list[Break]) -> None:
    assert breaks(sequences) == expected


def test_streams_are_followed_apart() -> None:
    continuity = Continuity()
    for index, (stream, sequence) in enumerate([("CMD", 1), ("EVT", 1), ("CMD", 2), ("EVT", 3)]):
        continuity.follow(index, stream, sequence)
    assert continuity.close() == [Gap("EVT", 2, 2, 3)]
    assert dict(continuity.reached()) == {"CMD": 2, "EVT": 3}
