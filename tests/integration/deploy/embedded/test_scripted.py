"""The scripted model over a real connection: it fails as real APIs do, and goes on where it was told to."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from deploy.embedded.scripted.server import ScriptedModel
from deploy.embedded.scripted.steps import Cut, Fail, Hang, Redirect, Say

PATHS = ("/v1/messages", "/v1/responses")
BODY: dict[str, Any] = {"model": "m", "stream": True, "tools": [{"name": "Bash"}], "messages": [], "input": "x"}


@pytest.fixture
async def model() -> AsyncIterator[ScriptedModel]:
    model = ScriptedModel([Say("hello")], keys={"openai": "sk-right"})
    yield model
    await model.stop()


@pytest.fixture
async def client(model: ScriptedModel) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"authorization": "Bearer sk-right"}
    async with aiohttp.ClientSession(await model.start(), headers=headers, timeout=aiohttp.ClientTimeout(20)) as client:
        yield client


async def _ask(client: aiohttp.ClientSession, path: str, **changed: Any) -> tuple[int, str]:
    async with client.post(path, json=BODY | changed, allow_redirects=False) as answer:
        return answer.status, await answer.text()


@pytest.mark.parametrize("path", PATHS)
async def test_one_script_in_both_protocols(model: ScriptedModel, client: aiohttp.ClientSession, path: str) -> None:
    assert [("hello" in text, status) for status, text in [await _ask(client, path), await _ask(client, path, stream=False)]] == [
        (True, 200)
    ] * 2
    model.play([Fail(429, "rate_limit", {"retry-after": "0"}, times=2), Redirect("http://169.254.169.254/", times=1), Say("then")])
    assert [(await _ask(client, path))[0] for _ in range(5)] == [429, 429, 307, 200, 200]


@pytest.mark.parametrize("path", PATHS)
async def test_a_stream_breaks_off_or_stands_still(model: ScriptedModel, client: aiohttp.ClientSession, path: str) -> None:
    model.play([Cut(times=1), Hang(after=1, times=1), Say("hello")])
    with pytest.raises(aiohttp.ClientError):
        await _ask(client, path)
    async with client.post(path, json=BODY) as answer:
        assert b"event: " in await answer.content.readany()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await answer.content.read()
    assert (await _ask(client, path))[0] == 200


@pytest.mark.parametrize("path", PATHS)
async def test_an_answer_that_does_not_even_begin(model: ScriptedModel, client: aiohttp.ClientSession, path: str) -> None:
    model.play([Hang(0)])
    asking = asyncio.create_task(_ask(client, path))
    assert not (await asyncio.wait({asking}, timeout=0.5))[0]
    assert len(model.requests) == 1
    await model.stop()
    with pytest.raises(aiohttp.ClientError):
        await asking


async def test_each_conversation_fails_by_itself(model: ScriptedModel, client: aiohttp.ClientSession) -> None:
    model.play([Fail(500, times=1), Say("hello")])
    asked = [await _ask(client, "/v1/responses", prompt_cache_key=name) for name in ("a", "b", "a", "b")]
    assert [status for status, _ in asked] == [500, 500, 200, 200]


async def test_a_wrong_key_is_told_and_each_vendor_has_its_own(client: aiohttp.ClientSession) -> None:
    async with client.post("/v1/responses", json=BODY, headers={"authorization": "Bearer other"}) as answer:
        assert answer.status == 401
    assert (await _ask(client, "/v1/messages"))[0] == 200
