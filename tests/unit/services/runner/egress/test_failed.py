"""What an upstream's bad answer is to a run and to its agent."""

import json

import pytest

from services.runner.egress import failed
from services.runner.egress.doors import Trouble
from services.runner.egress.vendors import price_list
from services.runner.egress.vendors.anthropic.vendor import Anthropic
from services.runner.egress.vendors.openai.vendor import OpenAI
from shared.telemetry import redaction

LISTS = price_list.load()
ANTHROPIC, OPENAI = Anthropic(LISTS["anthropic"]), OpenAI(LISTS["openai"])
JSON = {"content-type": "application/json"}
HTML = {"content-type": "text/html; charset=utf-8"}
BODY = b'{"type": "error", "error": {"type": "some_error", "message": "model: x not found"}}'
PAGE = b"<html>Sign in</html>"


@pytest.mark.parametrize(
    ("status", "headers", "body", "remembered", "trouble", "said", "words", "temporary"),
    [
        (400, JSON, BODY, 400, Trouble.NONE, 400, "model: x not found", False),
        (401, JSON, BODY, 401, Trouble.NONE, 403, "The model key was refused.", False),
        (402, JSON, BODY, 402, Trouble.NONE, 402, "model: x not found", False),
        (403, JSON, BODY, 403, Trouble.NONE, 403, "The model key may not do this.", False),
        (404, JSON, BODY, 404, Trouble.NONE, 404, "model: x not found", False),
        (429, JSON, BODY, 429, Trouble.NONE, 429, "The model API answered 429: model: x not found", True),
        (500, JSON, BODY, 500, Trouble.NONE, 500, "The model API answered 500: model: x not found", True),
        (501, JSON, BODY, 501, Trouble.NONE, 501, "The model API answered 501: model: x not found", False),
        (529, JSON, b"oh no", 529, Trouble.NONE, 529, "The model API answered 529: oh no", True),
        (503, HTML, PAGE, 503, Trouble.NONE, 503, "The model API answered 503: <html>Sign in</html>", True),
        (200, HTML, PAGE, 502, Trouble.NOT_THE_API, 400, "What answered is not the model API.", False),
        (403, HTML, PAGE, 502, Trouble.NOT_THE_API, 400, "What answered is not the model API.", False),
        (404, HTML, PAGE, 502, Trouble.NOT_THE_API, 400, "What answered is not the model API.", False),
        (302, HTML, b"", 502, Trouble.NOT_THE_API, 400, "The model API answered with a redirect.", False),
    ],
)
def test_a_bad_answer(
    status: int, headers: dict[str, str], body: bytes, remembered: int, trouble: Trouble, said: int, words: str, *, temporary: bool
) -> None:
    found = failed.of(ANTHROPIC, status, headers, body)
    assert (found.status, found.trouble, found.said, found.words, found.temporary) == (remembered, trouble, said, words, temporary)


def test_waiting_in_vain_ends_in_a_status_no_agent_waits_after() -> None:
    found = failed.of(ANTHROPIC, 529, JSON, BODY).given_up(61.2)
    assert (found.status, found.said, found.temporary) == (529, 400, False)
    assert found.words == "The model API answered 529: model: x not found This run waited 61 s for it."


def test_an_account_without_credit_is_not_waited_for() -> None:
    body = json.dumps({"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}).encode()
    found = failed.of(OPENAI, 429, JSON, body)
    assert (found.status, found.said, found.temporary) == (402, 402, False)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_what_the_vendor_repeats_of_the_key_stays_here(status: int) -> None:
    with redaction.forgotten("planted-model-key-1234"):
        body = json.dumps({"error": {"message": "Incorrect API key provided: planted-model-key-1234."}}).encode()
        assert "planted" not in failed.of(OPENAI, status, JSON, body).words


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"null", b"[]", b'{"error": null}', b'{"error": "no"}', b'{"error": {"message": 3}}', b"[" * 9999]
)
def test_whatever_the_body_is_there_are_words_of_bounded_length(body: bytes) -> None:
    assert len(failed.of(ANTHROPIC, 400, JSON, body).words) <= 500
