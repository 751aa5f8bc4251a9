"""How long a request's errors are waited out for an agent that never asks again."""

import pytest

from services.runner.egress.patience import MOST_SECONDS, TRIES, Patience
from services.runner.egress.vendors.anthropic.vendor import Anthropic
from services.runner.egress.vendors.openai.vendor import OpenAI


def _pauses(status: int, headers: dict[str, str], vendor: Anthropic | OpenAI | None = None) -> list[float]:
    patience, pauses = Patience(vendor or OpenAI()), list[float]()
    while (pause := patience.seconds(status, headers)) is not None:
        pauses.append(pause)
    return pauses


def test_what_the_vendor_says_is_honoured_and_bounded() -> None:
    assert _pauses(429, {}) == [1, 2, 4, 8, 16, 32]
    assert _pauses(429, {"retry-after": "20"}) == [20, 20, 20, 20]
    assert _pauses(429, {"retry-after": "20", "retry-after-ms": "1500"}) == [1.5, 1.5, 1.5, 1.5, 1.6, 3.2]
    assert _pauses(429, {"retry-after": "120"}) == []


@pytest.mark.parametrize("said", ["0", "-1", "soon", "", "Wed, 21 Oct 2026 07:28:00 GMT", "9" * 400, "²"])
def test_no_word_of_the_vendor_makes_it_hurry_or_wait_for_ever(said: str) -> None:
    pauses = _pauses(429, {"retry-after": said})
    assert len(pauses) < TRIES
    assert sum(pauses) <= MOST_SECONDS
    assert all(pause > 0 for pause in pauses)


@pytest.mark.parametrize("status", [200, 400, 401, 402, 500, 503])
def test_other_answers_stand(status: int) -> None:
    assert _pauses(status, {"retry-after": "1"}) == []


def test_an_agent_that_waits_by_itself_is_left_to_it() -> None:
    assert _pauses(429, {"retry-after": "1"}, Anthropic()) == []
