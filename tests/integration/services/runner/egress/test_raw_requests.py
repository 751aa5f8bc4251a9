"""What a program writes to a door that does not keep to HTTP: smuggled requests and headers, bodies that never come."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.embedded.scripted.server import ScriptedModel
from deploy.embedded.scripted.steps import Say
from tests.servers.egress import EgressProcess

KEY = "sk-ant-api03-planted-model-key-0123456789"
TOKEN = "t" * 32
BODY = json.dumps({"model": "claude-sonnet-4-5", "max_tokens": 10, "messages": [{"role": "user", "content": "x"}]}).encode()
SMUGGLED = b"0\r\n\r\nPOST /v1/files HTTP/1.1\r\nhost: door\r\n\r\n"


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


def request(*more: bytes, line: bytes = b"POST /v1/messages HTTP/1.1", body: bytes = BODY, length: bool = True) -> bytes:
    sized = [b"content-length: %d" % len(body)] if length else []
    head = [line, b"host: door", b"x-api-key: " + TOKEN.encode(), b"connection: close", *sized, *more]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


async def answered(socket: Path, data: bytes) -> bytes:
    """All that comes back until the door hangs up."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    try:
        writer.write(data)
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


async def status(socket: Path, data: bytes) -> bytes:
    """What the door says to it, which may then wait for what it was promised."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    try:
        writer.write(data)
        async with asyncio.timeout(5):
            return (await reader.readline())[9:12]
    finally:
        writer.close()


def chunked(body: bytes, trailers: bytes = b"") -> bytes:
    return b"%x\r\n" % len(body) + body + b"\r\n0\r\n" + trailers + b"\r\n"


NO_REQUESTS = {
    "both lengths": request(b"transfer-encoding: chunked", body=SMUGGLED),
    "a length and an unknown coding": request(b"transfer-encoding: xchunked"),
    "chunked is not the last coding": request(b"transfer-encoding: chunked, identity", body=chunked(BODY), length=False),
    "two lengths": request(b"content-length: 3"),
    "a length below nothing": request(b"content-length: -1", length=False),
    "a length with a sign": request(b"content-length: +5", length=False),
    "a length past all numbers": request(b"content-length: 99999999999999999999", length=False),
    "a space before the colon": request(b"x-api-key : other"),
    "a folded header": request(b"anthropic-beta: a\r\n x-evil: 1"),
    "a bare return in a header": request(b"anthropic-beta: a\rx-evil: 1"),
    "a zero in a header": request(b"anthropic-beta: a\0b"),
    "two hosts": request(b"host: evil.example"),
    "too many headers": request(*(b"x-%d: y" % number for number in range(20_000))),
    "too long a header": request(b"x: " + b"y" * 100_000),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "another method": request(line=b"GET /v1/messages HTTP/1.1"),
    "a tunnel": request(line=b"CONNECT evil.example:443 HTTP/1.1"),
    "another address": request(line=b"POST http://169.254.169.254/latest HTTP/1.1"),
    "a path out": request(line=b"POST /v1/messages/../files HTTP/1.1"),
    "two slashes": request(line=b"POST //v1/messages HTTP/1.1"),
    "a query with a new line": request(line=b"POST /v1/messages?beta=true%0d%0ax:y HTTP/1.1"),
    "an expectation": request(b"expect: miracles"),
    "compressed": request(b"content-encoding: deflate"),
    "larger than may be": request(b"content-length: 99999999999", length=False),
}
REQUESTS = {
    "as it should be": request(),
    "an address as the target": request(line=b"POST http://evil.example/v1/messages HTTP/1.1"),
    "a written slash": request(line=b"POST /v1%2Fmessages HTTP/1.1"),
    "trailers": request(b"transfer-encoding: chunked", body=chunked(BODY, b"authorization: Bearer own\r\nx-evil: 1\r\n"), length=False),
    "a key of its own as well": request(b"authorization: Bearer own", b"x-api-key: own"),
    "no letters in a header": request(b"anthropic-beta: \xff\xfe,\xc3\xa9 x, mcp-client-1"),
    "many names": request(b"anthropic-beta: " + b"a," * 3_000),
    "headers of a proxy": request(b"x-forwarded-host: evil.example", b"x-http-method-override: DELETE", b"cookie: a=b"),
    "a body of other letters": request(body=BODY.decode().encode("utf-16")),
    "HTTP/1.0": request(line=b"POST /v1/messages HTTP/1.0"),
}
OURS = {
    "host",
    "accept",
    "accept-encoding",
    "user-agent",
    "content-type",
    "content-length",
    "anthropic-version",
    "anthropic-beta",
    "x-api-key",
}


async def test_what_is_no_request_goes_nowhere(egress: EgressProcess, model: ScriptedModel) -> None:
    socket = await egress.open(egress.door(KEY))
    answers = {name: await status(socket, data) for name, data in NO_REQUESTS.items()}
    assert {name: answer for name, answer in answers.items() if not b"400" <= answer < b"500"} == {}
    assert model.headers == []
    assert KEY not in egress.log.read_text()


async def test_what_passes_carries_nothing_that_was_smuggled_in(egress: EgressProcess, model: ScriptedModel) -> None:
    socket = await egress.open(egress.door(KEY))
    answers = {name: await status(socket, data) for name, data in REQUESTS.items()}
    assert answers == dict.fromkeys(REQUESTS, b"200")
    sent = [{name.lower(): value for name, value in headers.items()} for headers in model.headers]
    assert len(sent) == len(REQUESTS)
    for headers in sent:
        assert headers.keys() <= OURS
        assert (headers["x-api-key"], "evil" in headers["host"]) == (KEY, False)
        assert headers.get("anthropic-beta", "a") in {"a", ",".join("a" * 32)}


async def test_a_request_behind_another_is_judged_by_itself(egress: EgressProcess, model: ScriptedModel) -> None:
    door = egress.door(KEY)
    both = request().replace(b"connection: close\r\n", b"") + request(line=b"POST /v1/files HTTP/1.1")
    answers = await answered(await egress.open(door), both)
    assert (answers.count(b"HTTP/1.1 200"), answers.count(b"HTTP/1.1 400")) == (1, 1)
    assert len(model.headers) == 1


async def test_a_sandbox_cannot_fill_the_log(egress: EgressProcess) -> None:
    socket = await egress.open(egress.door(KEY))
    begun = egress.log.stat().st_size
    for _ in range(200):
        await status(socket, NO_REQUESTS["both lengths"])
        await status(socket, NO_REQUESTS["another method"])
    assert egress.log.stat().st_size - begun < 40_000
    other = await egress.open(egress.door(KEY))
    await status(other, NO_REQUESTS["both lengths"])
    assert egress.log.read_text().count("Error handling request") == 9, "another door is heard all the same"


async def test_bodies_that_never_come_hold_nobody_up(egress: EgressProcess, model: ScriptedModel) -> None:
    """Every connection that a door has, each with a body of which a byte comes now and then."""
    slow, other = egress.door(KEY), egress.door(KEY)
    socket, others = await egress.open(slow), await egress.open(other)
    held = [await asyncio.open_unix_connection(str(socket)) for _ in range(64)]
    for _, writer in held:
        writer.write(request(b"content-length: 2000000", body=b"{", length=False))
    for _ in range(3):
        for _, writer in held:
            writer.write(b" ")
        assert await status(others, request()) == b"200"
    async with asyncio.timeout(10):
        assert (await egress.call("DELETE", f"/doors/{slow['run_id']}.1"))[0] == 200
    assert len(model.headers) == 3
    for _, writer in held:
        writer.close()
