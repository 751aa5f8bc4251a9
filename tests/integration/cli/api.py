"""A small real HTTP server in the places of the gateway and the auth server: it says what a test wrote, and remembers what it was asked."""

import json
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import time
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]
PASSWORD = "planted-password-5f2c"
EMAIL = "test@example.com"


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Json:
        return cast("Json", json.loads(self.body or b"{}"))


@dataclass(frozen=True)
class Answer:
    """One response. `cut`: the connection breaks after the body, which claims to go on."""

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])
    cut: bool = False

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def problem(status: int, slug: str, detail: str = "It is so.", **more: Any) -> Answer:
    """A problem document as the gateway writes it."""
    known: Json = {
        "type": f"urn:async-code:problem:{slug}",
        "title": slug,
        "status": status,
        "detail": detail,
        "advice": "Do it.",
        "errors": [],
    }
    return Answer(known | more, status, {"content-type": "application/problem+json"})


def events(*told: tuple[str, str, Any], cut: bool = True) -> Answer:
    """A stream of `(name, id, data)` that then breaks off."""
    wire = "".join(f"event: {name}\nid: {id_}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n" for name, id_, data in told)
    return Answer(wire.encode(), headers={"content-type": "text/event-stream"}, cut=cut)


Handler = Callable[[Asked], Answer]


class Api:
    """The server. `answers[method, path]` is an answer, a function of the request, or a list of answers to give in turn."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answers: dict[tuple[str, str], Answer | Handler | list[Answer]] = {}
        self.lifetime = 3600.0
        self.access, self.refresh = 1, 1
        self.refreshes = 0
        self._lock = threading.Lock()
        self._http: ThreadingHTTPServer | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def access_token(self) -> str:
        return f"planted-access-{self._port}-{self.access}"

    @property
    def refresh_token(self) -> str:
        return f"planted-refresh-{self._port}-{self.refresh}"

    def start(self) -> None:
        """Listen; again on the same port after `stop`."""
        api = self

        class _Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_request(self) -> None:
                api.serve(self)

            do_GET = do_POST = do_DELETE = handle_request  # noqa: N815 - the library's names

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
                """A test says itself what matters."""

        self._http = ThreadingHTTPServer(("127.0.0.1", self._port), _Handler)
        self._http.daemon_threads = True
        self._port = self._http.server_port
        threading.Thread(target=self._http.serve_forever, daemon=True, kwargs={"poll_interval": 0.02}).start()

    def stop(self) -> None:
        """Answer no more."""
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
            self._http = None

    def of(self, method: str, path: str) -> list[Asked]:
        """What was asked there."""
        return [asked for asked in self.asked if (asked.method, asked.path) == (method, path)]

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request; a connection from before `stop` breaks."""
        if self._http is None:
            request.close_connection = True
            return
        parts = urlsplit(request.path)
        body = request.rfile.read(int(request.headers.get("content-length", "0")))
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Asked(request.command, parts.path, parse_qs(parts.query), headers, body)
        with self._lock:
            self.asked.append(asked)
            answer = self._answer(asked)
        length = len(answer.content) + (1000 if answer.cut else 0)
        request.send_response(answer.status)
        for name, value in {"content-type": "application/json", **answer.headers, "content-length": str(length)}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(answer.content)
        request.close_connection = answer.cut

    def _answer(self, asked: Asked) -> Answer:
        where = asked.method, asked.path
        if asked.path == "/v1/auth" and where not in self.answers:
            return Answer({"issuer": f"{self.url}/auth/v1", "auth_url": f"{self.url}/auth/v1"})
        if asked.path == "/auth/v1/token" and where not in self.answers:
            return self._token(asked)
        signed = asked.headers.get("authorization") == f"Bearer {self.access_token}"
        if not signed and not asked.path.startswith(("/auth/", "/v1/auth")):
            return problem(401, "unauthenticated")
        found = self.answers.get(where, problem(404, "not-found"))
        if callable(found):
            return found(asked)
        turns = [found] if isinstance(found, Answer) else found
        self.answers[where] = turns[1:] or turns
        return turns[0]

    def _token(self, asked: Asked) -> Answer:
        """Each refresh token works once, and what comes again is refused."""
        if asked.query["grant_type"] == ["password"]:
            if asked.json != {"email": EMAIL, "password": PASSWORD}:
                return Answer({"error_code": "invalid_credentials", "msg": "Invalid login credentials"}, 400)
        elif asked.json != {"refresh_token": self.refresh_token}:
            return Answer({"error_code": "refresh_token_already_used", "msg": "Already used"}, 400)
        else:
            self.refreshes += 1
            self.access += 1
            self.refresh += 1
        session = {"access_token": self.access_token, "refresh_token": self.refresh_token, "expires_at": time() + self.lifetime}
        return Answer({**session, "user": {"email": EMAIL}})


@contextmanager
def serving() -> Generator[Api]:
    """A server for one test."""
    api = Api()
    api.start()
    try:
        yield api
    finally:
        api.stop()


def page(items: Sequence[Json], next_cursor: str | None = None) -> Answer:
    """A page of a list."""
    return Answer({"items": list(items), "next_cursor": next_cursor})


TASK_ID = "3f2a0000-0000-4000-8000-000000000001"


def task(state: str = "running", **more: Any) -> Json:
    """A task as the gateway shows it."""
    return {
        "id": TASK_ID,
        "title": "Fix it",
        "state": state,
        "agent": "shell",
        "model": None,
        "branch": "async-code/3f2a0000-fix-it",
        "commit_sha": None,
        "tree_sha": None,
        "outcome": None,
        "failure": None,
        "usage": None,
        "change": None,
        "created_at": "2026-11-22T12:00:00Z",
        "started_at": None,
        "ended_at": None,
        **more,
    }
