from typing import Any

import httpx
import pytest

from cli import problems
from cli.exits import Exit

PROBLEM: dict[str, Any] = {
    "type": "urn:async-code:problem:invalid",
    "title": "Invalid request",
    "status": 422,
    "detail": "d",
    "advice": "a",
    "errors": [],
}


def answered(status: int, body: Any) -> httpx.Response:
    return httpx.Response(status, json=body)


def test_the_fields_at_fault_are_named_with_their_rules() -> None:
    faults = [{"field": "body.prompt", "rule": "r", "message": "too long"}, {"field": "query.limit", "rule": "r", "message": "too big"}]
    assert str(problems.of(answered(422, {**PROBLEM, "errors": faults}))) == "prompt: too long; limit: too big"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, Exit.NOT_SIGNED_IN),
        (404, Exit.NOT_FOUND),
        (409, Exit.REFUSED),
        (410, Exit.NOT_FOUND),
        (422, Exit.REFUSED),
        (429, Exit.REFUSED),
        (302, Exit.FAILED),
        (500, Exit.FAILED),
        (502, Exit.UNREACHABLE),
        (503, Exit.UNREACHABLE),
    ],
)
def test_a_status_has_its_exit_code(status: int, code: Exit) -> None:
    assert problems.of(answered(status, PROBLEM)).code == code


ODD: list[Any] = [[], "x", None, 3, {"errors": "x"}, {"errors": [1, None]}, {"detail": None, "errors": [{}]}]


@pytest.mark.parametrize("body", ODD)
def test_any_answer_becomes_an_error_with_a_text(body: Any) -> None:
    assert str(problems.of(answered(418, body)))


def test_advice_is_for_people() -> None:
    assert problems.of(answered(401, {**PROBLEM, "type": "urn:async-code:problem:unauthenticated"})).advice == "Run: ./async-code login"
    assert problems.of(answered(418, {**PROBLEM, "type": "other"})).advice == "a"


def test_the_problem_itself_is_kept_for_programs() -> None:
    assert problems.of(answered(422, PROBLEM)).problem == PROBLEM
    assert problems.of(httpx.Response(500, text="<html>")).problem == {"status": 500}
