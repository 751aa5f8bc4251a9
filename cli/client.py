"""The REST API as the command line uses it: signs every request, renews the session once, turns problem documents into clear errors."""

import contextlib
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import httpx

from cli import problems
from cli.connection import connect, unreachable
from cli.exits import CliError, Exit
from cli.identity import LOGIN, IdentityProvider, ended
from cli.sessions import Session, SessionFile

Json = dict[str, Any]

STREAM_TIMEOUT = httpx.Timeout(60, connect=5)
"""An event stream says something at least every 15 s."""
_PAUSES_SECONDS = (0.5, 1.0, 2.0)
_UNAUTHORIZED, _NO_CONTENT = 401, 204


class Client:
    """One server and one signed-in user."""

    def __init__(self, server: str, sessions: SessionFile, *, token: str | None = None) -> None:
        self.server = server.rstrip("/")
        self._sessions = sessions
        self._token = token
        self._http = connect(self.server)

    def close(self) -> None:
        """Let the connections go."""
        self._http.close()

    def sign_in(self, email: str, password: str) -> Session:
        """Sign in with a password at the server's identity provider."""
        session = self._provider().by_password(email, password)
        self._sessions.put(session)
        return session

    def sign_out(self) -> bool | None:
        """Forget the session here and end it there; None: there was none, False: the provider could not be told."""
        session = self._sessions.remove(self.server)
        if session is None:
            return None
        try:
            provider = self._provider()
        except CliError:
            return False
        return provider.url == session.auth_url and provider.sign_out(session)

    def get(self, path: str, **query: Any) -> Json:
        """GET a JSON document."""
        return self.request("GET", path, query=query)

    def post(self, path: str, body: Json | None = None, headers: Mapping[str, str] | None = None) -> Json:
        """POST a JSON document."""
        return self.request("POST", path, body=body or {}, headers=headers)

    def post_once(self, path: str, body: Json) -> Json:
        """POST what must happen exactly once: sent again under the same key when an answer is lost. For paths that take such a key."""
        headers = {"idempotency-key": str(uuid.uuid4())}
        lost = False
        for pause in _PAUSES_SECONDS:
            try:
                return self.post(path, body, headers)
            except CliError as error:
                lost = lost or _lost(error.__cause__)
                if not lost or error.code != Exit.UNREACHABLE:
                    raise
            time.sleep(pause)
        return self.post(path, body, headers)

    def patch(self, path: str, body: Json) -> Json:
        """PATCH with a JSON document."""
        return self.request("PATCH", path, body=body)

    def put(self, path: str, body: Json) -> Json:
        """PUT a JSON document."""
        return self.request("PUT", path, body=body)

    def delete(self, path: str) -> None:
        """DELETE a resource."""
        self.request("DELETE", path)

    def text(self, path: str) -> bytes:
        """GET bytes."""
        return self._send("GET", path, signed=True).content

    def pages(self, path: str, *, key: str = "items", **query: Any) -> Iterator[Json]:
        """Every item of a list, page by page."""
        cursor: str | None = None
        while True:
            page = self.get(path, **query, cursor=cursor)
            try:
                items, following = cast("list[Json]", page[key]), cast("str | None", page.get("next_cursor"))
            except KeyError as error:
                raise _no_api(self.server) from error
            yield from items
            if following is None or following == cursor:
                return
            cursor = following

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        signed: bool = True,
    ) -> Json:
        """One request; gives the JSON document, or an empty one where there is none. Raises CliError."""
        given = {name: value for name, value in (query or {}).items() if value is not None}
        answer = self._send(method, path, signed=signed, json=body, params=given, headers=dict(headers or {}))
        if answer.status_code == _NO_CONTENT:
            return {}
        try:
            found: object = answer.json()
        except ValueError as error:
            raise _no_api(self.server) from error
        if not isinstance(found, dict):
            raise _no_api(self.server)
        return cast("Json", found)

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str]) -> Generator[httpx.Response]:
        """Open a stream of server-sent events. Raises CliError before the first byte, httpx.RequestError where it breaks."""

        def send(authorization: Mapping[str, str]) -> httpx.Response:
            request = self._http.build_request("GET", self.server + path, headers={**headers, **authorization}, timeout=STREAM_TIMEOUT)
            return self._http.send(request, stream=True)

        answer = self._signed(send)
        try:
            if not answer.is_success:
                answer.read()
                raise problems.of(answer)
            yield answer
        finally:
            answer.close()

    def _send(self, method: str, path: str, *, signed: bool, headers: dict[str, str] | None = None, **options: Any) -> httpx.Response:
        def send(authorization: Mapping[str, str]) -> httpx.Response:
            return self._http.request(method, self.server + path, headers={**(headers or {}), **authorization}, **options)

        try:
            answer = self._signed(send) if signed else send({})
        except httpx.RequestError as error:
            raise unreachable(self.server, error) from error
        if not answer.is_success:
            raise problems.of(answer)
        return answer

    def _signed(self, send: Callable[[Mapping[str, str]], httpx.Response]) -> httpx.Response:
        """Send with the access token; when the server does not take it, once more with the next one."""
        token = self._access_token()
        answer = send({"authorization": f"Bearer {token}"})
        if answer.status_code == _UNAUTHORIZED:
            if self._token is not None:
                raise _token_refused(answer)
            answer.close()
            answer = send({"authorization": f"Bearer {self._next_access_token(token)}"})
        return answer

    def _access_token(self) -> str:
        if self._token is not None:
            return self._token
        session = self._sessions.get(self.server)
        if session is None:
            raise CliError(f"Not signed in at {self.server}.", LOGIN, Exit.NOT_SIGNED_IN)
        return session.access_token if session.fresh else self._next_access_token(session.access_token)

    def _next_access_token(self, stale: str) -> str:
        session = self._sessions.renewed(self.server, stale, self._renew)
        if session is None:
            raise ended()
        return session.access_token

    def _renew(self, session: Session) -> Session:
        """The refresh token goes only where this server says now: what listens at an older address may be anybody."""
        provider = self._provider()
        if provider.url != session.auth_url:
            raise ended()
        return provider.by_refresh_token(session)

    def _provider(self) -> IdentityProvider:
        found = self.request("GET", "/v1/auth", signed=False).get("auth_url")
        if not isinstance(found, str):
            raise _no_api(self.server)
        return IdentityProvider(self.server, found)


def _token_refused(answer: httpx.Response) -> CliError:
    """The server says why: mistyped, expired, or unknown."""
    with contextlib.closing(answer):
        answer.read()
    why = problems.of(answer)
    text = f"The server does not take the token in ASYNC_CODE_TOKEN. {why}"
    return CliError(text, "Unset it or set another.", Exit.NOT_SIGNED_IN, problem=why.problem)


def _no_api(server: str) -> CliError:
    return CliError(f"{server} does not answer as Async Code does.", "Check the address in ASYNC_CODE_URL.")


def _lost(cause: BaseException | None) -> bool:
    """Whether a request may have been carried out although its answer never came."""
    return isinstance(cause, httpx.NetworkError | httpx.TimeoutException | httpx.RemoteProtocolError) and not isinstance(
        cause, httpx.ConnectError | httpx.ConnectTimeout
    )
