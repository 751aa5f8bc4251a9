"""What a model API can do to a run, and that a person is told which it was: the key, the request, the load, the network, silence.

Each run writes a file before the trouble comes: the work so far and what it cost must be there whatever happened then.
"""

from collections.abc import Iterator

import pytest

from cli.exits import CliError
from deploy.embedded.scripted.steps import Cut, Drop, Fail, FailWithin, Fault, Garble, Hang, Redirect, Run, Say
from shared.events.failures import FailureClass as Is
from tests.e2e.failures.rows import Row
from tests.e2e.failures.side_by_side import KINDS, SLOW, Case, Kind, SideBySide, side_by_side
from tests.servers.git import GitServer
from tests.servers.stack import Person, Stack
from tests.servers.stack_fixtures import ModelThread

PAGE = b"<html><title>Sign in</title></html>"
WITHIN = {"anthropic": ("overloaded_error", "rate_limit_error"), "openai": ("server_is_overloaded", "rate_limit_exceeded")}
"""What each API calls it where its answer has begun with 200."""
ONCE = {"anthropic": "overloaded_error", "openai": "server_error"}
"""Codex does not ask again where it is told of an overload in so many words."""
SENTENCES = b"event: message\ndata: all is well\n\n"


def _ends(kind: Kind, name: str, fault: Fault, failure_class: Is, code: str, says: str = "", **limits: float) -> Case:
    steps = (Run("echo half > half.txt"), fault)
    row = Row("failed", failure_class, code, kept=True)
    # An answer that never came is not counted: its door closes on it.
    return Case(name, row, steps, kind, says=says, limits=limits, least_requests=1 if isinstance(fault, Hang) else 2)


def _goes_on(kind: Kind, name: str, fault: Fault) -> Case:
    steps = (Run("echo half > half.txt"), fault, Run("echo whole > whole.txt"), Say("Done."))
    return Case(name, Row("succeeded", outcome="published", kept=True, pushed=True), steps, kind, least_requests=3)


def _cases(kind: Kind) -> list[Case]:
    return [
        _ends(kind, "401", Fail(401, "authentication_error"), Is.MODEL_REFUSED, "model_auth", "The model key was refused"),
        _ends(kind, "402", Fail(402, "billing_error"), Is.MODEL_REFUSED, "model_credit", "billing_error"),
        _ends(kind, "403", Fail(403, "permission_error"), Is.MODEL_REFUSED, "model_forbidden", "may not do this"),
        _ends(kind, "404", Fail(404, "not_found_error"), Is.MODEL_REFUSED, "model_unknown", "not_found_error|selected model"),
        _ends(kind, "400", Fail(400, "invalid_request_error"), Is.MODEL_REFUSED, "model_request_refused", "invalid_request_error"),
        _ends(kind, "429", Fail(429, "rate_limit_error"), Is.MODEL_OVERLOADED, "model_rate_limited", "rate_limit_error"),
        _ends(
            kind,
            "429 for an hour",
            Fail(429, "rate_limit_error", {"retry-after": "3600"}),
            Is.MODEL_OVERLOADED,
            "model_rate_limited",
            "rate_limit_error",
        ),
        _ends(kind, "500", Fail(500, "api_error"), Is.MODEL_OVERLOADED, "model_overloaded", "api_error"),
        _ends(kind, "529", Fail(529, "overloaded_error"), Is.MODEL_OVERLOADED, "model_overloaded", "overloaded"),
        _ends(kind, "overloaded within", FailWithin(WITHIN[kind.vendor][0]), Is.MODEL_OVERLOADED, "model_overloaded"),
        _ends(kind, "too much within", FailWithin(WITHIN[kind.vendor][1]), Is.MODEL_OVERLOADED, "model_rate_limited"),
        _ends(kind, "cut", Cut(), Is.MODEL_UNREACHABLE, "model_broke_off"),
        _ends(kind, "dropped", Drop(), Is.MODEL_UNREACHABLE, "model_unreachable"),
        _ends(kind, "redirect", Redirect("http://169.254.169.254/"), Is.MODEL_UNREACHABLE, "model_not_understood"),
        _ends(kind, "a page", Garble("text/html", PAGE), Is.MODEL_UNREACHABLE, "model_not_understood"),
        _ends(kind, "a stream of something", Garble("text/event-stream", SENTENCES), Is.MODEL_UNREACHABLE, "model_not_understood"),
        _ends(kind, "silence", Hang(1), Is.MODEL_OVERLOADED, "model_silent", "model_silent", idle_seconds=30),
        _ends(kind, "silence from the first", Hang(0), Is.MODEL_OVERLOADED, "model_silent", "model_silent", idle_seconds=30),
        _goes_on(kind, "429 once", Fail(429, "rate_limit_error", times=1)),
        _goes_on(kind, "529 three times", Fail(529, "overloaded_error", {"retry-after": "0"}, times=3)),
        _goes_on(kind, "500 once", Fail(500, "api_error", times=1)),
        _goes_on(kind, "dropped once", Drop(times=1)),
        _goes_on(kind, "cut once", Cut(times=1)),
        _goes_on(kind, "overloaded within once", FailWithin(ONCE[kind.vendor], times=1)),
        Case(
            "unknown model", Row("failed", Is.MODEL_REFUSED, "model_unknown"), (Fail(404, "not_found_error"),), kind, model="no-such-model"
        ),
        Case(
            "wrong key", Row("failed", Is.MODEL_REFUSED, "model_auth"), kind=kind, key="another-model-key", says="The model key was refused"
        ),
    ]


ITS_OWN = {"401", "429", "overloaded within", "cut", "dropped", "529 three times", "cut once", "unknown model"}
"""Where an agent's own way of asking again could differ: of a slow one no more, as what the door does is the same for all."""
CASES = [case for kind in KINDS for case in _cases(kind) if kind.agent not in SLOW or case.name in ITS_OWN]


@pytest.fixture(scope="module")
def tasks(request: pytest.FixtureRequest, stack: Stack, model: ModelThread, git_server: GitServer) -> Iterator[SideBySide]:
    yield from side_by_side(request, stack, model, git_server)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_the_model_api_did_is_what_a_person_is_told(tasks: SideBySide, case: Case) -> None:
    tasks.judged(case)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.agent)
def test_without_a_key_there_is_no_task_and_a_person_is_told_what_to_store(person: Person, kind: Kind) -> None:
    project = person.project("https://example.org/repository.git")
    with pytest.raises(CliError, match=f"credential_ids: {kind.agent} needs a model key of {kind.vendor}: store one"):
        person.task(project, "Do it.", agent=kind.agent)
    assert person.client.get("/v1/tasks")["items"] == []
