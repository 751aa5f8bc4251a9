"""The egress process as a sandbox meets it: a socket, a worthless token, and nothing else that works."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from deploy.embedded.scripted.server import ScriptedModel
from deploy.embedded.scripted.steps import Drop, Fail, Hang, Say
from services.runner.egress.messages import DoorReport
from tests.integration.services.runner.egress.asking import BODY, KEY, TOKEN, ask
from tests.servers.egress import EgressProcess


@pytest.fixture
async def model() -> AsyncIterator[ScriptedModel]:
    model = ScriptedModel([Say("hello")], keys={"anthropic": KEY})
    yield model
    await model.stop()


@pytest.fixture
async def egress(model: ScriptedModel, short_path: Path) -> AsyncIterator[EgressProcess]:
    process = EgressProcess(short_path, await model.start())
    await process.start()
    yield process
    process.stop()


async def test_the_real_key_goes_out_and_the_answer_comes_back_metered(egress: EgressProcess, model: ScriptedModel) -> None:
    door = egress.door(KEY)
    socket = await egress.open(door)
    status, text = await ask(
        socket,
        path="/v1/messages?beta=true",
        headers={"anthropic-beta": "x-1,mcp-client-1", "x-forwarded-for": "1.2.3.4", "authorization": "Bearer own"},
    )
    assert status == 200
    assert "hello" in text
    sent = {name.lower(): value for name, value in model.headers[0].items()}
    assert sent["x-api-key"] == KEY
    assert sent["anthropic-beta"] == "x-1"
    assert "authorization" not in sent
    assert "x-forwarded-for" not in sent
    report = await egress.report(door)
    assert (report.requests, report.input_tokens, report.output_tokens) == (1, 1_000, 200)
    assert report.cost_usd == pytest.approx(0.006)


async def test_without_the_token_nothing_goes_out(egress: EgressProcess, model: ScriptedModel) -> None:
    door = egress.door(KEY)
    socket = await egress.open(door)
    assert (await ask(socket, token="wrong"))[0] == 400
    assert (await ask(socket, token=KEY))[0] == 400
    assert model.headers == []
    assert {refusal.reason for refusal in (await egress.report(door)).refusals} == {"token_wrong"}


@pytest.mark.parametrize(
    ("change", "path", "encoding", "reason"),
    [
        ({"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]}, "/v1/messages", "identity", "server_tool_denied"),
        ({}, "/v1/files", "identity", "endpoint_denied"),
        ({}, "/v1/messages?upstream=other", "identity", "query_denied"),
        ({}, "/v1/messages", "x-unknown", "encoding_denied"),
    ],
)
async def test_other_ways_out_are_refused_and_said(
    egress: EgressProcess, model: ScriptedModel, change: dict[str, Any], path: str, encoding: str, reason: str
) -> None:
    door = egress.door(KEY)
    status, text = await ask(await egress.open(door), BODY | change, path=path, headers={"content-encoding": encoding})
    assert (status, reason in text) == (400, True)
    assert model.headers == []
    assert [refusal.reason for refusal in (await egress.report(door)).refusals] == [reason]


async def test_a_budget_stops_after_the_response_that_used_it_up(egress: EgressProcess) -> None:
    door = egress.door(KEY, max_cost_usd=0.01)
    socket = await egress.open(door)
    assert [(await ask(socket))[0] for _ in range(4)] == [200, 200, 400, 400]
    report = await egress.report(door)
    assert report.exhausted
    assert report.cost_usd == pytest.approx(0.012)


async def test_a_crash_forgets_no_cost_and_the_door_opens_again_in_the_same_place(egress: EgressProcess) -> None:
    door = egress.door(KEY)
    socket = await egress.open(door)
    await ask(socket)
    inode = socket.parent.stat().st_ino
    egress.kill()
    await egress.start()
    assert await egress.open(door) == socket
    assert socket.parent.stat().st_ino == inode
    assert (await ask(socket))[0] == 200
    assert (await egress.report(door)).requests == 2


async def test_what_the_upstream_says_about_the_key_is_not_passed_on(egress: EgressProcess) -> None:
    door = egress.door("sk-ant-api03-another-key")
    status, text = await ask(await egress.open(door))
    assert status == 403  # the agents ask again after a 401
    assert json.loads(text)["error"]["message"] == "The model key was refused."
    assert (await egress.report(door)).upstream_status == 401


async def test_what_passes_by_itself_is_waited_out(model: ScriptedModel, short_path: Path) -> None:
    egress = EgressProcess(short_path, await model.start(), patience_seconds=30)
    await egress.start()
    try:
        model.play([Fail(429, "rate_limit_error", {"retry-after": "0"}, times=3), Drop(times=1), Say("hello")])
        door = egress.door(KEY)
        status, text = await ask(await egress.open(door))
        assert (status, "hello" in text) == (200, True)
        report = await egress.report(door)
        assert (report.requests, report.upstream_status, report.trouble) == (1, 0, "")
    finally:
        egress.stop()


async def test_what_does_not_pass_ends_by_a_status_that_no_agent_waits_after(egress: EgressProcess, model: ScriptedModel) -> None:
    model.play([Fail(529, "overloaded_error")])
    door = egress.door(KEY)
    status, text = await ask(await egress.open(door))
    assert (status, "answered 529: overloaded_error" in text) == (400, True)
    assert (await egress.report(door)).upstream_status == 529


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:9", "http://no-such-host.invalid", "https://127.0.0.1:{port}"])
async def test_what_cannot_be_reached_is_told_from_what_fails(model: ScriptedModel, short_path: Path, base_url: str) -> None:
    """A closed port, a name that is none, and no TLS where it is expected."""
    port = (await model.start()).rpartition(":")[2]
    egress = EgressProcess(short_path, base_url.format(port=port))
    await egress.start()
    try:
        door = egress.door(KEY)
        status, text = await ask(await egress.open(door))
        assert (status, "could not be reached" in text) == (400, True)
        report = await egress.report(door)
        assert (report.upstream_status, report.trouble) == (502, "unreachable")
    finally:
        egress.stop()


async def test_an_upstream_that_says_nothing_is_seen_to(egress: EgressProcess, model: ScriptedModel) -> None:
    model.play([Hang(1)])
    door = egress.door(KEY)
    socket = await egress.open(door)
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session,
        session.post("http://door/v1/messages", json=BODY, headers={"x-api-key": TOKEN}) as answer,
    ):
        await answer.content.readany()
        async with asyncio.timeout(20):
            while (await egress.report(door)).silent_seconds < 0.5:  # noqa: ASYNC110 - time passes, and nothing else
                await asyncio.sleep(0.05)
        closed = DoorReport.model_validate_json((await egress.call("DELETE", f"/doors/{door['run_id']}.1"))[1])
        assert (closed.requests, closed.input_tokens) == (1, 1_000)  # what had begun is charged


async def test_a_key_goes_to_the_address_it_was_stored_for_and_nowhere_else(egress: EgressProcess, model: ScriptedModel) -> None:
    elsewhere = ScriptedModel([Say("from elsewhere")], keys={"anthropic": KEY})
    try:
        url = (await elsewhere.start()).replace("localhost", "127.0.0.1")
        stored = egress.door(KEY, base_url=url, stored_for=f"anthropic {url}")
        assert "from elsewhere" in (await ask(await egress.open(stored)))[1]
        assert (len(elsewhere.requests), len(model.requests)) == (1, 0)
        for changed in (
            egress.door(KEY, base_url=url),  # stored for the vendor's own API
            egress.door(KEY, base_url=url, stored_for=""),  # sealed before places were bound
            egress.door(KEY, base_url=url, stored_for="anthropic https://api.example"),
            egress.door(KEY, stored_for=f"anthropic {url}"),
            egress.door(KEY, vendor="openai", stored_for="anthropic"),
        ):
            assert (await egress.call("POST", "/doors", changed))[0] == 403
        assert (
            await egress.call("POST", "/doors", egress.door(KEY, base_url="https://10.0.0.1", stored_for="anthropic https://10.0.0.1"))
        )[0] == 421
        assert (await egress.call("POST", "/doors", egress.door(KEY, base_url="https://a@b", stored_for="anthropic https://a@b")))[0] == 422
        assert "hello" in (await ask(await egress.open(egress.door(KEY, stored_for=""))))[1], "an older sealing, for the vendor's own API"
        assert (len(elsewhere.requests), len(model.requests)) == (1, 1)
    finally:
        await elsewhere.stop()


async def test_a_sealed_value_for_another_owner_opens_nothing(egress: EgressProcess) -> None:
    door = egress.door(KEY) | {"owner": egress.door(KEY)["owner"]}
    assert (await egress.call("POST", "/doors", door))[0] == 403


async def test_closing_leaves_nothing(egress: EgressProcess) -> None:
    door = egress.door(KEY)
    socket = await egress.open(door)
    await ask(socket)
    assert (await egress.call("DELETE", f"/doors/{door['run_id']}.1"))[0] == 200
    assert not socket.parent.exists()
    await egress.open(egress.door(KEY))
    assert (await egress.call("DELETE", "/doors"))[0] == 204
    assert list((egress.directory / "sockets").iterdir()) == []
    assert {path.name for path in (egress.directory / "state").iterdir()} == {"packages", "packages-seal"}, "what is every run's stays"
    assert (await egress.call("DELETE", "/doors/..%2f..%2fetc"))[0] == 404


async def test_who_asks_twice_at_once_gets_one_door(egress: EgressProcess) -> None:
    door = egress.door(KEY)
    first, second = await asyncio.gather(egress.open(door), egress.open(door))
    assert first == second
    assert (await ask(first))[0] == 200
    assert (await egress.report(door)).requests == 1


async def test_an_upstream_in_a_private_network_needs_the_operator(model: ScriptedModel, short_path: Path) -> None:
    egress = EgressProcess(short_path, await model.start(), allow_networks="[]")
    with pytest.raises(RuntimeError, match="AddressRefused"):
        await egress.start()
    named = EgressProcess(short_path, egress.base_url.replace("127.0.0.1", "localhost"), allow_networks="[]")
    await named.start()
    try:
        assert (await ask(await named.open(named.door(KEY))))[0] == 400
        assert model.headers == []
    finally:
        named.stop()


async def test_the_key_is_nowhere_but_in_memory(egress: EgressProcess) -> None:
    await ask(await egress.open(egress.door(KEY)))
    assert egress.process is not None
    process = Path(f"/proc/{egress.process.pid}")
    seen = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
    files = b"".join(path.read_bytes() for path in egress.directory.rglob("*") if path.is_file())
    assert KEY.encode() not in seen + files


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def test_one_sandbox_cannot_keep_the_others_waiting(egress: EgressProcess) -> None:
    """By bodies that take long to read, or by all the connections there are."""
    greedy, other = egress.door(KEY), egress.door(KEY)
    socket, others = await egress.open(greedy), await egress.open(other)
    body = b'{"model":"m","messages":[' + b"[]," * 10_000_000 + b"[]]}"
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session:
        asking = asyncio.create_task(session.post("http://door/v1/messages", data=io.BytesIO(body), headers={"x-api-key": TOKEN}))
        async with asyncio.timeout(5):
            assert (await ask(others))[0] == 200
        assert (await asking).status == 400
    held = [await asyncio.open_unix_connection(str(socket)) for _ in range(200)]
    assert egress.process is not None
    assert descriptors(egress.process.pid) < 150
    assert (await ask(others))[0] == 200
    for _, writer in held:
        writer.close()
    async with asyncio.timeout(10):
        assert (await egress.call("DELETE", f"/doors/{greedy['run_id']}.1"))[0] == 200


async def test_a_compressed_body_is_refused_however_it_is_said(egress: EgressProcess) -> None:
    socket = await egress.open(egress.door(KEY))
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session,
        session.post(
            "http://door/v1/messages",
            data=json.dumps(BODY),
            headers=[("x-api-key", TOKEN), ("content-encoding", "identity"), ("content-encoding", "gzip")],
        ) as answer,
    ):
        assert (answer.status, "encoding_denied" in await answer.text()) == (400, True)
