"""What an upstream that behaves oddly, or a sandbox that hangs up, costs: never less than what was answered."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from services.runner.egress.messages import DoorReport
from tests.integration.services.runner.egress.asking import BODY, KEY, TOKEN, ask
from tests.servers.egress import EgressProcess


@asynccontextmanager
async def answered_by(handler: Callable[[web.Request], Awaitable[web.StreamResponse]], directory: Path) -> AsyncGenerator[EgressProcess]:
    """An egress process in front of an upstream that behaves as told."""
    application = web.Application()
    application.router.add_post("/v1/messages", handler)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    egress = EgressProcess(directory, f"http://127.0.0.1:{runner.addresses[0][1]}")
    await egress.start()
    try:
        yield egress
    finally:
        egress.stop()
        await runner.cleanup()


async def test_a_redirect_is_not_followed(short_path: Path) -> None:
    async def redirect(_request: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect("http://169.254.169.254/latest/meta-data")

    async with answered_by(redirect, short_path) as egress:
        status, text = await ask(await egress.open(egress.door(KEY)))
        assert (status, "169.254" in text) == (400, False)


async def test_hanging_up_before_the_end_saves_nothing(short_path: Path) -> None:
    gone, told = asyncio.Event(), asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b'data: {"type": "message_start", "message": {"usage": {"input_tokens": 7, "output_tokens": 1}}}\n\n')
        await gone.wait()
        for _ in range(100):
            await response.write(b"data: " + b"x" * 65_536 + b"\n\n")
        await response.write(b'data: {"type": "message_delta", "usage": {"output_tokens": 500}}\n\n')
        await response.write_eof()
        told.set()
        return response

    async with answered_by(stream, short_path) as egress:
        door = egress.door(KEY)
        socket = await egress.open(door)
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session:
            answer = await session.post("http://door/v1/messages", json=BODY, headers={"x-api-key": TOKEN})
            assert b"message_start" in await answer.content.readany()
            answer.close()
        gone.set()
        async with asyncio.timeout(20):
            await told.wait()
            while not (report := await egress.report(door)).requests:  # noqa: ASYNC110 - the process tells nobody that it has read on
                await asyncio.sleep(0.01)
        assert (report.requests, report.input_tokens, report.output_tokens, report.upstream_status) == (1, 7, 500, 0)


async def test_an_answer_that_nobody_reads_is_charged_when_its_door_closes(short_path: Path) -> None:
    """By what it has spelt out: its totals so far say one token, and a run could ask for much and end before the last ones come."""
    over = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b'data: {"type": "message_start", "message": {"usage": {"input_tokens": 7, "output_tokens": 1}}}\n\n')
        piece = json.dumps({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "word" * 1_000}})
        for _ in range(400):
            await response.write(f"data: {piece}\n\n".encode())
        await over.wait()
        return response

    async with answered_by(stream, short_path) as egress:
        door = egress.door(KEY)
        reader, writer = await asyncio.open_unix_connection(str(await egress.open(door)), limit=1)
        body = json.dumps(BODY).encode()
        writer.write(f"POST /v1/messages HTTP/1.1\r\nhost: d\r\nx-api-key: {TOKEN}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        await reader.readexactly(1)
        writer.close()
        closed = DoorReport.model_validate_json((await egress.call("DELETE", f"/doors/{door['run_id']}.1"))[1])
        assert (closed.requests, closed.input_tokens, closed.output_tokens) == (1, 7, 400_000)
        over.set()
        assert list((egress.directory / "state").glob("*.json")) == [], "nothing is written behind a closed door"


async def test_a_request_without_an_answer_is_charged_when_its_door_closes(short_path: Path) -> None:
    asked, over = asyncio.Event(), asyncio.Event()

    async def silent(_request: web.Request) -> web.StreamResponse:
        asked.set()
        await over.wait()
        return web.Response()

    async with answered_by(silent, short_path) as egress:
        door = egress.door(KEY)
        asking = asyncio.create_task(ask(await egress.open(door), BODY | {"messages": [{"role": "user", "content": "x" * 40_000}]}))
        await asked.wait()
        closed = DoorReport.model_validate_json((await egress.call("DELETE", f"/doors/{door['run_id']}.1"))[1])
        assert (closed.requests, closed.output_tokens, closed.answers) == (1, 0, 0)
        assert closed.input_tokens == pytest.approx(10_000, rel=0.02)
        assert closed.cost_usd == pytest.approx(0.03, rel=0.02)
        over.set()
        await asyncio.wait({asking})


async def _broken(request: web.Request) -> web.StreamResponse:
    """An upstream that begins well."""
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b'data: {"type": "message_start", "message": {"usage": {"input_tokens": 7}}}\n\n')
    assert request.transport is not None
    request.transport.close()
    return response


async def test_an_answer_that_breaks_off_is_not_taken_for_the_whole(short_path: Path) -> None:
    async with answered_by(_broken, short_path) as egress:
        door = egress.door(KEY)
        with pytest.raises(aiohttp.ClientError):
            await ask(await egress.open(door))
        report = await egress.report(door)
        assert (report.requests, report.input_tokens, report.upstream_status) == (1, 7, 502)


async def test_an_api_that_breaks_off_again_and_again_is_asked_no_more_and_stays_to_blame(short_path: Path) -> None:
    async with answered_by(_broken, short_path) as egress:
        door = egress.door(KEY)
        socket = await egress.open(door)
        for _ in range(5):
            with pytest.raises(aiohttp.ClientError):
                await ask(socket)
        status, said = await ask(socket)
        assert status == 400
        assert "ends none of its answers well" in said
        report = await egress.report(door)
        assert (report.requests, report.upstream_status, report.trouble) == (5, 502, "broke_off")


async def test_requests_that_begin_together_cannot_spend_one_budget_many_times(short_path: Path) -> None:
    asked = 0

    async def dear(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        await request.read()
        return web.json_response({"usage": {"input_tokens": 10, "output_tokens": 100_000}})

    async with answered_by(dear, short_path) as egress:
        door = egress.door(KEY, max_cost_usd=1.0)
        socket = await egress.open(door)
        answers = await asyncio.gather(*(ask(socket, BODY | {"stream": False, "max_tokens": 100_000}) for _ in range(20)))
        assert sorted(status for status, _ in answers) == [200] + [400] * 19
        assert (asked, (await egress.report(door)).cost_usd) == (1, pytest.approx(1.5, rel=0.01))
