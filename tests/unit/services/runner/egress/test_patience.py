"""How long a failing model API is waited for, by all requests of a door together."""

import pytest

from services.runner.egress.patience import Patience, Unfinished


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def _pauses(patience: Patience, clock: Clock, headers: dict[str, str]) -> list[float]:
    """Those of one request that always fails at once."""
    begun, pauses = clock.now, list[float]()
    while (pause := patience.pause(len(pauses) + 1, begun, headers)) is not None:
        pauses.append(pause)
        clock.now += pause
    return pauses


@pytest.mark.parametrize(
    ("headers", "pauses"),
    [
        ({}, [1, 2, 4, 8, 16, 16]),
        ({"retry-after": "20"}, [20, 20, 20]),
        ({"retry-after": "3600"}, []),
        ({"retry-after": "20", "retry-after-ms": "1500"}, [1.5, 1.5, 1.5, 1.5, 1.6, 3.2, 6.4, 12.8, 25.6]),
        ({"retry-after": "0"}, [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6]),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, [1, 2, 4, 8, 16, 16]),
    ],
)
def test_what_the_vendor_says_is_honoured_and_the_whole_is_bounded(headers: dict[str, str], pauses: list[float]) -> None:
    clock = Clock()
    assert _pauses(Patience(60, clock), clock, headers) == pytest.approx(pauses)


def test_once_it_is_used_up_the_next_request_does_not_wait_again_until_there_was_an_answer() -> None:
    clock = Clock()
    patience = Patience(10, clock)
    assert _pauses(patience, clock, {}) == [1, 2, 4]
    clock.now += 3_600
    assert _pauses(patience, clock, {}) == []
    patience.answered()
    assert _pauses(patience, clock, {}) == [1, 2, 4]


def test_the_answers_of_other_requests_do_not_have_one_wait_for_ever() -> None:
    clock = Clock()
    patience = Patience(10, clock)
    begun, tries = clock.now, 0
    while (pause := patience.pause(tries + 1, begun, {})) is not None:
        clock.now += pause
        tries += 1
        patience.answered()
    assert tries == 3


def test_answers_that_end_badly_are_asked_for_no_more_after_enough_of_them_and_enough_time() -> None:
    clock = Clock()
    unfinished = Unfinished(10, clock)
    for _ in range(5):
        assert unfinished.lasting_seconds is None
        unfinished.another()
        clock.now += 2
    assert unfinished.lasting_seconds is None, "enough of them, but within the time"
    clock.now += 1
    assert unfinished.lasting_seconds == 11
    unfinished.whole()
    assert unfinished.lasting_seconds is None


def test_one_bad_end_long_ago_is_no_reason_to_ask_no_more() -> None:
    clock = Clock()
    unfinished = Unfinished(10, clock)
    unfinished.another()
    clock.now += 3_600
    assert unfinished.lasting_seconds is None
    unfinished.another()
    assert unfinished.lasting_seconds is None
