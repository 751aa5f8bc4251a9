"""Packages as a sandbox meets them: real clients through a real door to registries over TLS, and what a sandbox may not do there."""

import json
import os
import shutil
from pathlib import Path

import aiohttp
import pytest

from tests.integration.services.runner.egress.sandboxes import ALL, JSON, Sandboxes, client
from tests.servers.egress import EgressProcess
from tests.servers.registry import Registry, wheel


async def test_pip_downloads_a_wheel(sandboxes: Sandboxes, registry: Registry, tmp_path: Path) -> None:
    pip = shutil.which("pip")
    if pip is None:
        pytest.skip("needs pip")
    sandbox = await sandboxes.door("pip")
    async with sandbox.port() as port:
        index = f"http://127.0.0.1:{port}/packages/pip/simple/"
        await client(pip, "download", "--no-deps", "--no-cache-dir", "--index-url", index, "-d", str(tmp_path), "Demo", home=tmp_path)
    assert (tmp_path / "demo-1.0-py3-none-any.whl").read_bytes() == wheel("demo", "1.0")
    assert not await sandbox.reasons()
    assert all(not {"authorization", "cookie", "x-api-key"} & headers.keys() for headers in registry.headers)


async def test_npm_packs_a_tarball(sandboxes: Sandboxes, registry: Registry, tmp_path: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm")
    sandbox = await sandboxes.door("npm")
    async with sandbox.port() as port:
        said = await client(npm, "pack", "demo", f"--registry=http://127.0.0.1:{port}/packages/npm/", home=tmp_path)
    assert said.strip().endswith("demo-1.0.0.tgz")
    assert (tmp_path / "demo-1.0.0.tgz").read_bytes() == registry.answers["/npm/demo/-/demo-1.0.0.tgz"]


async def test_cargo_fetches_a_crate(sandboxes: Sandboxes, tmp_path: Path) -> None:
    cargo = shutil.which("cargo")
    if cargo is None:
        pytest.skip("needs cargo")
    rustup = os.environ.get("RUSTUP_HOME", str(Path.home() / ".rustup"))
    sandbox = await sandboxes.door("cargo")
    (tmp_path / "src").mkdir()
    (tmp_path / "src/lib.rs").write_text("")
    (tmp_path / "Cargo.toml").write_text('[package]\nname = "own"\nversion = "0.1.0"\n[dependencies]\ndemo = "1"\n')
    async with sandbox.port() as port:
        (tmp_path / "config.toml").write_text(
            f'[source.crates-io]\nreplace-with = "door"\n[source.door]\nregistry = "sparse+http://127.0.0.1:{port}/packages/cargo/"\n'
        )
        said = await client(cargo, "fetch", home=tmp_path, CARGO_HOME=str(tmp_path), RUSTUP_HOME=rustup)
    assert "Downloaded demo v1.0.0" in said


async def test_go_and_debian_are_read_by_their_protocols(sandboxes: Sandboxes) -> None:
    sandbox = await sandboxes.door("go", "debian")
    assert await sandbox.get("go/github.com/team/demo/@v/list") == (200, b"v1.0.0\n")
    assert await sandbox.get("go/github.com/team/demo/@v/v1.0.0.zip") == (200, b"zip")
    assert (await sandbox.get("go/github.com/team/none/@latest"))[0] == 404
    assert await sandbox.get("debian/0/dists/stable/InRelease") == (200, b"signed\n")
    assert await sandbox.get("debian/0/pool/main/d/demo/demo_1.0-1%2bb1_all.deb") == (200, b"!<arch>\n")
    assert not await sandbox.reasons()


async def test_files_are_kept_for_other_runs_and_indexes_are_not(sandboxes: Sandboxes, registry: Registry) -> None:
    one, other = await sandboxes.door("pip"), await sandboxes.door("pip")
    for sandbox in (one, other):
        assert await sandbox.get(await sandbox.link()) == (200, wheel("demo", "1.0"))
    assert [path for _, path in registry.asked] == ["/simple/demo/", "/packages/aa/demo-1.0-py3-none-any.whl", "/simple/demo/"]
    (kept,) = (sandboxes.egress.directory / "state/packages").iterdir()
    kept.write_bytes(b"spoilt")
    assert await one.get(await one.link()) == (200, wheel("demo", "1.0"))


async def test_content_that_is_not_what_the_index_says_never_arrives_whole(sandboxes: Sandboxes, registry: Registry) -> None:
    registry.answers["/packages/aa/demo-1.0-py3-none-any.whl"] = b"x" * len(wheel("demo", "1.0"))
    sandbox = await sandboxes.door("pip")
    link = await sandbox.link()
    with pytest.raises(aiohttp.ClientError):
        await sandbox.get(link)
    assert not list((sandboxes.egress.directory / "state/packages").iterdir())
    assert await sandbox.reasons() == {"content_wrong"}


async def test_links_and_redirects_lead_only_to_the_operators_places(sandboxes: Sandboxes, registry: Registry) -> None:
    registry.python_index("evil", ("https://169.254.169.254/latest/evil-1.0.tar.gz", b""), ("https://elsewhere.invalid/evil-2.0.zip", b""))
    registry.redirect("/simple/meta/", "http://169.254.169.254/latest/meta-data/")
    registry.redirect("/simple/down/", registry.url.replace("https", "http") + "/simple/demo/")
    registry.redirect("/simple/round/", "/simple/round/")
    registry.redirect("/simple/near/", "/simple/demo/")
    sandbox = await sandboxes.door("pip")
    assert json.loads((await sandbox.get("pip/simple/evil/", accept=JSON))[1])["files"] == []
    for name in ("meta", "down", "round"):
        assert (await sandbox.get(f"pip/simple/{name}/"))[0] == 403
    assert len(json.loads((await sandbox.get("pip/simple/near/", accept=JSON))[1])["files"]) == 1
    assert await sandbox.reasons() == {"redirect_denied"}


REFUSED = {
    "method_denied": [("PUT", "npm/demo"), ("POST", "pip/"), ("DELETE", "npm/demo"), ("PATCH", "cargo/config.json")],
    "query_denied": [("GET", "pip/simple/demo/?secret=1"), ("GET", "npm/-/v1/search?text=secret")],
    "path_denied": [
        ("GET", "pip/simple/"),
        ("GET", "pip/simple/demo/x"),
        ("GET", f"pip/simple/{'a' * 101}/"),
        ("GET", "npm/-/npm/v1/security/advisories/bulk"),
        ("GET", "npm/-/whoami"),
        ("GET", "npm/demo/-/demo.sh"),
        ("GET", "cargo/xx/yy/demo"),
        ("GET", "cargo/api/v1/crates/new"),
        ("GET", "go/github.com/team/demo/@v/v1.0.0.sh"),
        ("GET", "debian/1/dists/stable/InRelease"),
        ("GET", "debian/0/pool/main/d/demo/demo.exe"),
    ],
    "module_host_denied": [("GET", "go/attacker.example/secret/@v/list"), ("GET", "go/github.com.attacker.example/x/@latest")],
    "link_unknown": [("GET", "pip/_files/" + "0" * 64 + "/-/1/packages/aa/demo-1.0-py3-none-any.whl")],
}


@pytest.mark.parametrize("reason", REFUSED)
async def test_what_is_refused(sandboxes: Sandboxes, registry: Registry, reason: str) -> None:
    sandbox = await sandboxes.door(*ALL)
    for method, path in REFUSED[reason]:
        status, said = await sandbox.get(path, method=method)
        assert (status, reason.encode() in said) == (403, True), (path, said)
    report = await sandbox.report()
    assert {refusal.reason for refusal in report.refusals} == {reason}
    assert all(refusal.ecosystem in ALL for refusal in report.refusals)
    assert registry.asked == [], "nothing of it left the machine"


@pytest.mark.parametrize(
    "target",
    [
        b"/packages/pip/simple/../../etc/passwd",
        b"/packages/pip/simple/%2e%2e/demo/",
        b"/packages/pip/simple/%252e%252e/demo/",
        b"/packages/pip//simple/demo/",
        b"/packages/npm/@team%2f..%2fdemo",
        b"/packages/npm/demo%00",
        b"/packages/go/github.com/a@b:c/@v/list",
        b"/packages/maven/demo",
        b"http://169.254.169.254/packages/pip/simple/demo/",
    ],
)
async def test_paths_that_only_raw_bytes_can_say(sandboxes: Sandboxes, registry: Registry, target: bytes) -> None:
    sandbox = await sandboxes.door(*ALL)
    line = await sandbox.raw(b"GET " + target + b" HTTP/1.1\r\nHost: 127.0.0.1:8090\r\n\r\n")
    assert line.split()[1] in {b"400", b"403", b"404"}, line
    assert registry.asked == []


async def test_headers_decide_nothing(sandboxes: Sandboxes, registry: Registry) -> None:
    sandbox = await sandboxes.door("pip")
    get = b"GET /packages/pip/simple/demo/ HTTP/1.1\r\n"
    host = b"Host: 127.0.0.1:8090\r\n"
    assert b" 403 " in await sandbox.raw(get + b"Host: evil.example\r\n\r\n")
    assert b" 403 " in await sandbox.raw(get + host + b"Content-Length: 5\r\n\r\nhello")
    assert b" 403 " in await sandbox.raw(get + host + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    assert b" 400 " in await sandbox.raw(get + host + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    assert registry.asked == []
    told = b"Authorization: Bearer secret\r\nCookie: a=secret\r\nX-Forwarded-Host: evil\r\nIf-None-Match: secret\r\nUser-Agent: secret\r\n"
    assert b" 200 " in await sandbox.raw(get + host + told + b"\r\n")
    assert "secret" not in json.dumps(registry.headers)


async def test_only_what_the_project_allows(sandboxes: Sandboxes, registry: Registry) -> None:
    sandbox = await sandboxes.door("npm")
    assert (await sandbox.get("pip/simple/demo/"))[0] == 403
    assert (await sandbox.get("npm/demo"))[0] == 200
    assert await sandbox.reasons() == {"ecosystem_denied"}
    assert [path for _, path in registry.asked] == ["/npm/demo"]


async def test_names_that_do_not_exist_run_out(sandboxes: Sandboxes, registry: Registry) -> None:
    sandbox = await sandboxes.door("pip")
    statuses = [(await sandbox.get(f"pip/simple/secret-{number}/"))[0] for number in range(5)]
    assert statuses == [404, 404, 404, 403, 403]
    assert len(registry.asked) == 3
    assert await sandbox.reasons() == {"too_many_missing"}


async def test_what_is_too_large_silent_or_compressed_does_not_come_through(registry: Registry, short_path: Path) -> None:
    small = {"EGRESS_PACKAGES_FILE_MIB": "4", "EGRESS_PACKAGES_INDEX_MIB": "2", "EGRESS_PACKAGES_IDLE_SECONDS": "1"}
    egress = EgressProcess(short_path, "https://127.0.0.1:1", more=registry.settings() | small)
    await egress.start()
    try:
        sandbox = await Sandboxes(egress).door("pip", "debian")
        registry.endless("/simple/endless/")
        registry.compressed("/simple/bomb/")
        registry.endless("/debian/pool/main/d/demo/endless.deb")
        registry.silent("/debian/pool/main/d/demo/silent.deb")
        registry.answers["/simple/page/"] = b"{"
        assert (await sandbox.get("pip/simple/endless/"))[0] == 403
        assert (await sandbox.get("pip/simple/bomb/"))[0] == 502
        assert (await sandbox.get("pip/simple/page/"))[0] in {200, 502}
        for file in ("endless", "silent"):
            with pytest.raises(aiohttp.ClientError):
                await sandbox.get(f"debian/0/pool/main/d/demo/{file}.deb")
        assert not list((short_path / "state/packages").iterdir())
        assert {"index_too_large"} <= await sandbox.reasons()
    finally:
        egress.stop()


async def test_a_registry_at_a_private_address_is_not_asked(registry: Registry, short_path: Path) -> None:
    named = {name: value.replace("127.0.0.1", "localhost") for name, value in registry.settings().items() if "PACKAGES" in name}
    egress = EgressProcess(short_path, "https://api.example.com", allow_networks="[]", more=named)
    await egress.start()
    try:
        assert (await (await Sandboxes(egress).door("pip")).get("pip/simple/demo/"))[0] == 502
        assert registry.asked == []
    finally:
        egress.stop()
