"""The REST API as the command line uses it: signs every request, renews the session once, turns problem documents into clear errors."""

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import httpx

from cli.exits import CliError, Exit
from cli.sessions import Session, SessionFile, of_answer

Json = dict[str, Any]

TIMEOUT = httpx.Timeout(30, connect=5)


class Client:
    """One server and one signed-in user."""

    def __init__(self, server: str, sessions: SessionFile, *, token: str | None = None) -> None:
        self.server = server.rstrip("/")
        self._sessions = sessions
        self._token = token
        self._http = httpx.Client(base_url=self.server, timeout=TIMEOUT, trust_env=False, follow_redirects=False)

    def sign_in(self, email: str, password: str) -> Session:
        """Sign in with a password at the server's identity provider."""
        auth_url = str(self.request("GET", "/v1/auth", signed=False)["auth_url"]).rstrip("/")
        session = self._tokens(auth_url, "password", {"email": email, "password": password})
        self._sessions.put(session)
        return session

    def get(self, path: str, **query: Any) -> Json:
        """GET a JSON document."""
        return self.request("GET", path, query=query)

    def post(self, path: str, body: Json | None = None, headers: Mapping[str, str] | None = None) -> Json:
        """POST a JSON document."""
        return self.request("POST", path, body=body or {}, headers=headers)

    def delete(self, path: str) -> None:
        """DELETE a resource."""
        self.request("DELETE", path)

    def text(self, path: str) -> bytes:
        """GET bytes."""
        return self._send("GET", path, signed=True).content

    def pages(self, path: str, **query: Any) -> Iterator[Json]:
        """Every item of a list, page by page."""
        cursor: str | None = None
        while True:
            page = self.get(path, **query, **({"cursor": cursor} if cursor else {}))
            yield from cast("list[Json]", page["items"])
            cursor = page.get("next_cursor")
            if cursor is None:
                return

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
        answer = self._send(method, path, signed=signed, json=body, params=_given(query), headers=dict(headers or {}))
        return cast("Json", answer.json()) if answer.content else {}

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str]) -> Generator[httpx.Response]:
        """Open a stream of server-sent events. Raises CliError before the first byte, httpx.TransportError where it breaks."""
        timeout = httpx.Timeout(60, connect=5)  # the server says something at least every 15 s
        with self._http.stream("GET", path, headers={**headers, **self._authorization()}, timeout=timeout) as answer:
            if answer.status_code != 200:  # noqa: PLR2004 - RFC 9110 §15.3.1
                answer.read()
                raise _problem(answer)
            yield answer

    def _send(self, method: str, path: str, *, signed: bool, headers: dict[str, str] | None = None, **options: Any) -> httpx.Response:
        authorization = self._authorization() if signed else {}
        try:
            answer = self._http.request(method, path, headers={**(headers or {}), **authorization}, **options)
        except httpx.TransportError as error:
            raise unreachable(self.server) from error
        if answer.is_error:
            raise _problem(answer)
        return answer

    def _authorization(self) -> dict[str, str]:
        if self._token is not None:
            return {"authorization": f"Bearer {self._token}"}
        session = self._sessions.get(self.server)
        if session is None:
            raise CliError(f"Not signed in at {self.server}.", "Run: ./async-code login", Exit.NOT_SIGNED_IN)
        if not session.fresh:
            session = self._tokens(session.auth_url, "refresh_token", {"refresh_token": session.refresh_token})
            self._sessions.put(session)
        return {"authorization": f"Bearer {session.access_token}"}

    def _tokens(self, auth_url: str, grant: str, body: Json) -> Session:
        try:
            answer = httpx.post(f"{auth_url}/token", params={"grant_type": grant}, json=body, timeout=TIMEOUT, trust_env=False)
        except httpx.TransportError as error:
            raise unreachable(auth_url) from error
        if answer.is_error:
            raise CliError("The sign-in was refused, or has ended.", "Run: ./async-code login", Exit.NOT_SIGNED_IN)
        return of_answer(answer.json(), server=self.server, auth_url=auth_url)


def unreachable(server: str) -> CliError:
    """The error for a server that does not answer."""
    return CliError(f"{server} does not answer.", "Start it with: ./async-code up", Exit.UNREACHABLE)


_CODES = {401: Exit.NOT_SIGNED_IN, 404: Exit.NOT_FOUND, 503: Exit.UNREACHABLE}


def _problem(answer: httpx.Response) -> CliError:
    """A problem document (RFC 9457) as an error; anything else by its status."""
    try:
        problem = cast("Json", answer.json())
        faults = "".join(f"\n  {fault['field']}: {fault['message']}" for fault in problem.get("errors", []))
        text, advice = str(problem.get("detail") or problem.get("title") or "") + faults, str(problem.get("advice") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        text, advice = f"The server answered {answer.status_code}.", ""
    return CliError(text or f"The server answered {answer.status_code}.", advice, _CODES.get(answer.status_code, Exit.REFUSED))


def _given(query: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (query or {}).items() if value is not None}
