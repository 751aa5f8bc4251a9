"""Each thing a model API can do to a run has a name of its own, whatever the agent makes of it."""

import pytest

from services.runner.agents.upstream import failure_of, idleness_of, unasked
from services.runner.doors import Spending
from shared.events import failures
from shared.events.failures import FailureClass as Is

TABLE = [
    # what the door saw: (trouble, status), then what a person is told: code, class, whether the same may work later
    ("", 400, "model_request_refused", Is.MODEL_REFUSED, False),
    ("", 401, "model_auth", Is.MODEL_REFUSED, False),
    ("", 402, "model_credit", Is.MODEL_REFUSED, False),
    ("", 403, "model_forbidden", Is.MODEL_REFUSED, False),
    ("", 404, "model_unknown", Is.MODEL_REFUSED, False),
    ("", 408, "model_overloaded", Is.MODEL_OVERLOADED, True),
    ("", 413, "model_request_refused", Is.MODEL_REFUSED, False),
    ("", 418, "model_request_refused", Is.MODEL_REFUSED, False),
    ("", 422, "model_request_refused", Is.MODEL_REFUSED, False),
    ("", 429, "model_rate_limited", Is.MODEL_OVERLOADED, True),
    ("", 500, "model_overloaded", Is.MODEL_OVERLOADED, True),
    ("", 503, "model_overloaded", Is.MODEL_OVERLOADED, True),
    ("", 529, "model_overloaded", Is.MODEL_OVERLOADED, True),
    ("unreachable", 502, "model_unreachable", Is.MODEL_UNREACHABLE, True),
    ("broke_off", 502, "model_broke_off", Is.MODEL_UNREACHABLE, True),
    ("not_the_api", 502, "model_not_understood", Is.MODEL_UNREACHABLE, False),
    ("of a later version", 529, "model_overloaded", Is.MODEL_OVERLOADED, True),
]


@pytest.mark.parametrize(("trouble", "status", "code", "failure_class", "retryable"), TABLE)
def test_what_the_door_saw_names_the_failure(trouble: str, status: int, code: str, failure_class: str, retryable: bool) -> None:
    assert failure_of(Spending(trouble=trouble, upstream_status=status)) == code
    told = failures.failure(code)
    assert (told.failure_class, told.retryable) == (failure_class, retryable)


def test_no_trouble_is_no_failure() -> None:
    assert failure_of(Spending()) is None


@pytest.mark.parametrize(
    ("spending", "code"),
    [
        (Spending(), "idle_time"),
        (Spending(silent_seconds=4.9), "idle_time"),
        (Spending(silent_seconds=5), "model_silent"),
        (Spending(silent_seconds=30, upstream_status=429), "model_silent"),
        (Spending(upstream_status=429), "model_rate_limited"),
        (Spending(trouble="unreachable", upstream_status=502), "model_unreachable"),
    ],
)
def test_who_was_silent_is_named(spending: Spending, code: str) -> None:
    assert idleness_of(spending, 10) == code
    assert code in failures.CODES


@pytest.mark.parametrize(
    ("spending", "code"),
    [
        (Spending(), None),  # nobody was there to say
        (Spending(answers=1), None),
        (Spending(answers=1, upstream_status=529), None),
        (Spending(answers=0), "model_not_asked"),
        (Spending(answers=0, upstream_status=529), "model_overloaded"),
        (Spending(answers=0, trouble="unreachable", upstream_status=502), "model_unreachable"),
    ],
)
def test_a_good_end_without_an_answer_is_none(spending: Spending, code: str | None) -> None:
    assert unasked(spending) == code
