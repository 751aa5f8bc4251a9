"""A door to OpenAI's API, as a sandbox meets it. What is the same for every vendor is tried in test_egress."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from deploy.embedded.scripted.server import ScriptedModel
from deploy.embedded.scripted.steps import Cut, Fail, Say
from tests.servers.egress import EgressProcess

KEY = "sk-proj-planted-openai-key-0123456789"
TOKEN = "t" * 32
LITE = "x-openai-internal-codex-responses-lite"
BODY: dict[str, Any] = {
    "model": "gpt-6.1-sol",
    "stream": True,
    "store": False,
    "tools": [{"type": "function", "name": "exec_command"}],
    "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}],
}
MESSAGES: dict[str, Any] = {"model": "claude-sonnet-4-5", "max_tokens": 10, "messages": [{"role": "user", "content": "x"}]}


@pytest.fixture
async def model() -> AsyncIterator[ScriptedModel]:
    model = ScriptedModel([Say("hello")], keys={"openai": KEY, "anthropic": "sk-ant-api03-never-sent"})
    yield model
    await model.stop()


@pytest.fixture
async def egress(model: ScriptedModel, short_path: Path) -> AsyncIterator[EgressProcess]:
    process = EgressProcess(short_path, await model.start(), patience_seconds=2)
    await process.start()
    yield process
    process.stop()


async def ask(socket: Path, body: Any = BODY, *, path: str = "/v1/responses", headers: dict[str, str] | None = None) -> tuple[int, str]:
    """A request as the sandbox makes it."""
    sent = {"authorization": f"Bearer {TOKEN}", **(headers or {})}
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session,
        session.post(f"http://door{path}", json=body, headers=sent) as answer,
    ):
        return answer.status, await answer.text()


async def test_the_real_key_goes_out_and_the_answer_comes_back_metered(egress: EgressProcess, model: ScriptedModel) -> None:
    door = egress.door(KEY, vendor="openai")
    socket = await egress.open(door)
    status, text = await ask(socket, headers={LITE: "true", "openai-organization": "org", "x-api-key": "own", "session-id": "s"})
    assert (status, "hello" in text) == (200, True)
    sent = {name.lower(): value for name, value in model.headers[0].items()}
    assert (sent["authorization"], sent[LITE]) == (f"Bearer {KEY}", "true")
    assert not {"openai-organization", "x-api-key", "session-id"} & sent.keys()
    assert model.requests == [BODY]
    report = await egress.report(door)
    assert (report.requests, report.answers, report.input_tokens, report.output_tokens) == (1, 1, 1_000, 200)
    assert report.cost_usd == pytest.approx((1_000 * 2 + 200 * 10) / 1_000_000)


async def test_a_door_leads_to_its_vendor_alone(egress: EgressProcess, model: ScriptedModel) -> None:
    """Whatever path, body or header is tried, with the token in either vendor's place."""
    openai = await egress.open(egress.door("sk-any-key", vendor="openai"))
    anthropic = await egress.open(egress.door("sk-any-key", vendor="anthropic"))
    for headers in ({"x-api-key": TOKEN}, {"host": "api.openai.com", "x-api-key": TOKEN}):
        assert (await ask(openai, MESSAGES, path="/v1/messages", headers=headers))[0] == 400
        assert (await ask(anthropic, BODY, headers=headers))[0] == 400
        assert (await ask(anthropic, BODY, path="/v1/messages", headers=headers))[0] == 400
        assert (await ask(openai, MESSAGES, headers=headers))[0] == 400
    assert model.headers == []
    assert (await egress.call("POST", "/doors", egress.door(KEY, vendor="nobody")))[0] == 422


@pytest.mark.parametrize(
    ("change", "path", "reason"),
    [
        ({"tools": [{"type": "web_search"}]}, "/v1/responses", "server_tool_denied"),
        ({"previous_response_id": "resp_1"}, "/v1/responses", "field_denied"),
        ({"store": True}, "/v1/responses", "store_denied"),
        ({}, "/v1/files", "endpoint_denied"),
        ({}, "/v1/responses?include[]=x", "query_denied"),
    ],
)
async def test_other_ways_out_are_refused_and_said(
    egress: EgressProcess, model: ScriptedModel, change: dict[str, Any], path: str, reason: str
) -> None:
    door = egress.door(KEY, vendor="openai")
    status, text = await ask(await egress.open(door), BODY | change, path=path)
    assert (status, reason in json.loads(text)["error"]["message"]) == (400, True)
    assert model.headers == []
    assert [refusal.reason for refusal in (await egress.report(door)).refusals] == [reason]


async def test_what_the_upstream_says_about_the_key_is_not_passed_on(egress: EgressProcess) -> None:
    door = egress.door("sk-another-key", vendor="openai")
    status, text = await ask(await egress.open(door))
    assert (status, json.loads(text)["error"]["message"]) == (403, "The model key was refused.")
    assert (await egress.report(door)).upstream_status == 401


async def test_too_many_requests_are_waited_out_for_an_agent_that_would_give_up(egress: EgressProcess, model: ScriptedModel) -> None:
    model.play([Fail(429, "rate_limit_exceeded", {"retry-after-ms": "100"}, times=2), Say("hello")])
    door = egress.door(KEY, vendor="openai")
    assert (await ask(await egress.open(door)))[0] == 200
    report = await egress.report(door)
    assert (len(model.requests), report.requests, report.upstream_status) == (3, 1, 0)


@pytest.mark.parametrize(
    ("kind", "retry_after", "asked_again", "remembered"),
    [("rate_limit_exceeded", "0", True, 429), ("rate_limit_exceeded", "3600", False, 429), ("insufficient_quota", "0", False, 402)],
)
async def test_but_not_for_ever_and_not_for_an_account_without_credit(
    egress: EgressProcess, model: ScriptedModel, kind: str, retry_after: str, remembered: int, *, asked_again: bool
) -> None:
    model.play([Fail(429, kind, {"retry-after": retry_after})])
    door = egress.door(KEY, vendor="openai")
    status, text = await ask(await egress.open(door))
    assert status in {400, 402}  # which the agent does not begin to wait for itself
    assert (kind in text, len(model.requests) > 1) == (True, asked_again)
    assert (await egress.report(door)).upstream_status == remembered


async def test_an_answer_that_breaks_off_before_its_totals_is_charged_by_its_length(egress: EgressProcess, model: ScriptedModel) -> None:
    model.play([Cut(), Say("hello " * 100)])
    door = egress.door(KEY, vendor="openai")
    with pytest.raises(aiohttp.ClientError):
        await ask(await egress.open(door))
    report = await egress.report(door)
    assert (report.requests, report.answers) == (1, 0)
    assert report.input_tokens > 0
    assert report.cost_usd > 0


async def test_a_door_that_counts_turns_answers_no_more_after_the_last(egress: EgressProcess) -> None:
    door = egress.door(KEY, vendor="openai", max_answers=2)
    socket = await egress.open(door)
    assert [(await ask(socket))[0] for _ in range(3)] == [200, 200, 400]
    egress.kill()
    await egress.start()
    status, text = await ask(await egress.open(door))
    assert (status, "turns_used_up" in text) == (400, True)
