"""A real git server over HTTP or HTTPS: `git http-backend` behind a small real web server, in this process.

with GitServer(tmp_path) as server:
    server.create("demo")                       # a bare repository; fill it with tests.servers.git_objects
    server.require_token("demo", "s3cret")      # from now on reads and writes need it
    server.url("demo")                          # http://127.0.0.1:<port>/demo.git
"""

import base64
import os
import ssl
import subprocess
import threading
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self, cast

from tests.servers import git_objects


@dataclass(frozen=True)
class Seen:
    """One request as the server saw it."""

    method: str
    path: str
    authorized: bool


@dataclass(frozen=True)
class Traffic:
    """One answered request: bytes of both bodies."""

    path: str
    received: int
    sent: int


class GitServer:
    """Repositories below one directory. `stop` and `start` keep port and content; requests wait while `hold` is on."""

    def __init__(self, directory: Path, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.root = directory / "repositories"
        self.root.mkdir(parents=True, exist_ok=True)
        self.host, self.port = host, 0
        self.seen: list[Seen] = []
        self.traffic: list[Traffic] = []
        self.arrived = threading.Event()
        self.pushed = threading.Event()
        self._tls = tls
        self._tokens: dict[str, str] = {}
        self._statuses: dict[str, int] = {}
        self._redirects: dict[str, str] = {}
        self._pages: dict[str, bytes] = {}
        self._cut: set[str] = set()
        self._lost_answers: dict[str, int] = {}
        self._open = threading.Event()
        self._open.set()
        self._answering = threading.Event()
        self._answering.set()
        self._http: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_about: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; the first start takes a free port, later ones the same."""
        http = _Listener((self.host, self.port), _Handler)
        http.service = self
        if self._tls is not None:
            http.socket = self._tls.wrap_socket(http.socket, server_side=True, do_handshake_on_connect=False)
        self.port = int(http.server_address[1])
        self._http = http
        self._thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening: connections are refused."""
        self.release()
        if self._http is not None and self._thread is not None:
            self._http.shutdown()
            self._http.server_close()
            self._thread.join()
            self._http = None

    def url(self, name: str, *, host: str | None = None) -> str:
        """The address of a repository."""
        return f"{'http' if self._tls is None else 'https'}://{host or self.host}:{self.port}/{name}.git"

    def path(self, name: str) -> Path:
        """The bare repository on disk."""
        return self.root / f"{name}.git"

    def create(self, name: str) -> Path:
        """An empty bare repository that takes pushes."""
        path = self.path(name)
        git_objects.init(path)
        git_objects.git(path, "config", "http.receivepack", "true")
        return path

    def branch(self, name: str, branch: str) -> str | None:
        """The commit a branch holds."""
        return git_objects.branches(self.path(name)).get(branch)

    def require_token(self, name: str, token: str, *, user: str = "x-access-token") -> None:
        """Reads and writes of this repository need this user and token."""
        self._tokens[name] = base64.b64encode(f"{user}:{token}".encode()).decode()

    def answer_with(self, name: str, status: int | None) -> None:
        """Answer every request for this repository with a bare status; None: serve it again."""
        if status is None:
            self._statuses.pop(name, None)
        else:
            self._statuses[name] = status

    def answer_with_page(self, name: str, page: bytes) -> None:
        """Answer every request for this repository with 200 and a page."""
        self._pages[name] = page

    def cut_packs(self, name: str) -> None:
        """Let the connection end in the middle of every pack."""
        self._cut.add(name)

    def lose_push_answers(self, name: str, times: int = 1) -> None:
        """Let so many pushes take effect and answer 502."""
        self._lost_answers[name] = times

    def redirect(self, name: str, target: str) -> None:
        """Answer with 302 to the same path below another address."""
        self._redirects[name] = target

    def deny_pushes(self, name: str, words: str = "no", hook_name: str = "pre-receive") -> None:
        """A hook refuses every push and says so."""
        hook = self.path(name) / "hooks" / hook_name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\nprintf '%s\\n' '{words}' >&2\nexit 1\n")
        hook.chmod(0o755)

    def hold(self) -> None:
        """Let requests wait; `arrived` is set when one does."""
        self.arrived.clear()
        self._open.clear()

    def hold_push_answers(self) -> None:
        """Let pushes take effect and wait with the answer; `pushed` is set when one has."""
        self.pushed.clear()
        self._answering.clear()

    def release(self) -> None:
        """Let everything go on."""
        self._open.set()
        self._answering.set()

    def has_pushed(self) -> None:
        """A push has taken effect; waits while answers are held."""
        self.pushed.set()
        self._answering.wait(timeout=60)

    def loses_answer(self, name: str) -> bool:
        """Whether this push's answer gets lost."""
        left = self._lost_answers.get(name, 0)
        self._lost_answers[name] = left - 1
        return left > 0

    def page(self, name: str) -> bytes | None:
        """What answers instead of git."""
        return self._pages.get(name)

    def cuts(self, name: str) -> bool:
        """Whether its packs break off."""
        return name in self._cut

    def judge(self, name: str, authorization: str | None) -> tuple[int, str] | None:
        """The status and the redirect that answers instead of git; waits while requests are held."""
        self.arrived.set()
        self._open.wait(timeout=60)
        if name in self._redirects:
            return HTTPStatus.FOUND, self._redirects[name]
        if name in self._statuses:
            return self._statuses[name], ""
        if name in self._tokens and authorization != f"Basic {self._tokens[name]}":
            return HTTPStatus.UNAUTHORIZED, ""
        return None if self.path(name).is_dir() else (HTTPStatus.NOT_FOUND, "")


class _Listener(ThreadingHTTPServer):
    service: GitServer
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away or does not trust us is no fault of the test's."""


class _Handler(BaseHTTPRequestHandler):
    @property
    def _service(self) -> GitServer:
        return cast("_Listener", self.server).service

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self._body())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
        """Stay silent."""

    def _serve(self, body: bytes) -> None:
        service = self._service
        authorization = self.headers.get("Authorization")
        service.seen.append(Seen(self.command, self.path, authorization is not None))
        name = self.path.lstrip("/").split(".git", 1)[0]
        verdict = service.judge(name, authorization)
        if verdict is not None:
            self._refuse(*verdict)
            return
        if (page := service.page(name)) is not None:
            self._refuse(HTTPStatus.OK, "", page)
            return
        head, _, content = self._backend(body).partition(b"\r\n\r\n")
        service.traffic.append(Traffic(self.path, len(body), len(content)))
        if self.command == "POST" and self.path.endswith("/git-receive-pack"):
            service.has_pushed()
            if service.loses_answer(name):
                self._refuse(HTTPStatus.BAD_GATEWAY, "")
                return
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(headers.pop("Status", "200").split(" ", 1)[0]))
        for field, value in headers.items():
            self.send_header(field, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        begin = content.find(b"packfile\n")  # gitprotocol-v2(5): what follows is the pack, in pieces
        self.wfile.write(content[: begin + 40] if begin >= 0 and service.cuts(name) else content)

    def _refuse(self, status: int, target: str, page: bytes = b"") -> None:
        self.send_response(status)
        if target:
            self.send_header("Location", target + self.path)
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def _backend(self, body: bytes) -> bytes:
        path, _, query = self.path.partition("?")
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_PROJECT_ROOT": str(self._service.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": "127.0.0.1",
        }
        return subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=True).stdout  # noqa: S607

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        body = bytearray()  # a big push comes in thousands of pieces
        while size := int(self.rfile.readline().strip() or b"0", 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(body)
