"""Small registries of every family, over TLS, made of real packages: an index on one port, its files on another, as large ones have it."""

import asyncio
import contextlib
import gzip
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.servers.authority import Authority

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def wheel(name: str, version: str) -> bytes:
    """A package that pip installs."""
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{name}-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{name}-{version}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"{name}-{version}.dist-info/RECORD"
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path), text)
        archive.writestr(zipfile.ZipInfo(record), "".join(f"{path},,\n" for path in (*files, record)))
    return data.getvalue()


def tarball(files: dict[str, str]) -> bytes:
    """As npm and cargo pack."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return data.getvalue()


@dataclass
class Registry:
    """One server for everything, on two ports. `answers` are by path; what was asked for stands in `asked`."""

    authority: Authority
    answers: dict[str, bytes | Answer] = field(default_factory=dict[str, "bytes | Answer"])
    asked: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    url: str = ""
    files_url: str = ""
    _runner: web.AppRunner | None = None

    async def start(self) -> None:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        for _ in range(2):
            await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self.authority.server_context("127.0.0.1")).start()
        self.url, self.files_url = (f"https://127.0.0.1:{port}" for _, port in self._runner.addresses)
        self._fill()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.raw_path))
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        found = self.answers.get(request.raw_path)
        if found is None:
            return web.Response(status=404)
        if isinstance(found, bytes):
            return web.Response(body=found, headers={"content-type": "application/octet-stream"})
        return await found(request)

    def json(self, path: str, document: Any, kind: str = "application/json") -> None:
        async def answer(_request: web.Request) -> web.StreamResponse:
            return web.Response(body=json.dumps(document).encode(), headers={"content-type": kind})

        self.answers[path] = answer

    def redirect(self, path: str, target: str) -> None:
        async def answer(_request: web.Request) -> web.StreamResponse:
            return web.Response(status=302, headers={"location": target})

        self.answers[path] = answer

    def endless(self, path: str) -> None:
        """More than anybody wants, without saying how much."""

        async def answer(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            with contextlib.suppress(ConnectionError):
                for _ in range(64):
                    await response.write(bytes(1024 * 1024))
            return response

        self.answers[path] = answer

    def silent(self, path: str) -> None:
        """Half an answer, and then nothing."""

        async def answer(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"content-length": "1000"})
            await response.prepare(request)
            await response.write(b"x" * 500)
            await asyncio.Event().wait()
            return response

        self.answers[path] = answer

    def compressed(self, path: str) -> None:
        """Two megabytes that are two kilobytes on the way, though nobody asked for that."""

        async def answer(_request: web.Request) -> web.StreamResponse:
            return web.Response(body=gzip.compress(bytes(2 * 1024 * 1024)), headers={"content-encoding": "gzip"})

        self.answers[path] = answer

    def python_index(self, name: str, *links: tuple[str, bytes], kind: str = "application/vnd.pypi.simple.v1+json") -> None:
        """An index page; what is linked to lies on the other port, or where an absolute link says."""
        files: list[dict[str, Any]] = []
        for path, content in links:
            url = path if path.startswith("http") else self.files_url + path
            files.append({"filename": path.rpartition("/")[2], "url": url, "hashes": {"sha256": hashlib.sha256(content).hexdigest()}})
            self.answers.setdefault(path, content)
        self.json(f"/simple/{name}/", {"meta": {"api-version": "1.0"}, "name": name, "files": files}, kind)

    def _fill(self) -> None:
        self.python_index("demo", ("/packages/aa/demo-1.0-py3-none-any.whl", wheel("demo", "1.0")))
        packed = tarball({"package/package.json": json.dumps({"name": "demo", "version": "1.0.0"}), "package/index.js": "\n"})
        dist = {"tarball": f"{self.url}/npm/demo/-/demo-1.0.0.tgz", "shasum": hashlib.sha1(packed, usedforsecurity=False).hexdigest()}
        manifest = {"name": "demo", "version": "1.0.0", "dist": dist}
        self.json("/npm/demo", {"name": "demo", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": manifest}})
        self.json("/npm/@team%2fdemo", {"name": "@team/demo", "dist-tags": {}, "versions": {}})
        self.answers["/npm/demo/-/demo-1.0.0.tgz"] = packed
        crate = tarball({"demo-1.0.0/Cargo.toml": '[package]\nname = "demo"\nversion = "1.0.0"\n', "demo-1.0.0/src/lib.rs": ""})
        self.json("/cargo/config.json", {"dl": f"{self.files_url}/crates", "api": self.url})
        entry: dict[str, Any] = {
            "name": "demo",
            "vers": "1.0.0",
            "deps": [],
            "cksum": hashlib.sha256(crate).hexdigest(),
            "features": {},
            "yanked": False,
        }
        self.answers["/cargo/de/mo/demo"] = json.dumps(entry).encode() + b"\n"
        self.answers["/crates/demo/1.0.0/download"] = crate
        self.answers["/go/github.com/team/demo/@v/list"] = b"v1.0.0\n"
        self.answers["/go/github.com/team/demo/@v/v1.0.0.zip"] = b"zip"
        packages = b"Package: demo\n"
        self.answers["/debian/dists/stable/InRelease"] = b"signed\n"
        self.answers[f"/debian/dists/stable/main/by-hash/SHA256/{hashlib.sha256(packages).hexdigest()}"] = packages
        self.answers["/debian/pool/main/d/demo/demo_1.0-1+b1_all.deb"] = b"!<arch>\n"

    def settings(self) -> dict[str, str]:
        """The egress process's variables that lead here."""
        return {
            "EGRESS_PACKAGES_PIP": f"{self.url}/simple/",
            "EGRESS_PACKAGES_NPM": f"{self.url}/npm",
            "EGRESS_PACKAGES_CARGO": f"{self.url}/cargo",
            "EGRESS_PACKAGES_GO": f"{self.url}/go",
            "EGRESS_PACKAGES_DEBIAN": json.dumps([f"{self.url}/debian"]),
            "EGRESS_PACKAGES_FILE_ORIGINS": json.dumps([self.files_url]),
            "EGRESS_CA_BUNDLE": str(self.authority.bundle),
        }
