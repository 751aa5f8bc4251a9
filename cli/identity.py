"""The identity provider (Supabase's GoTrue, or the embedded one that speaks like it): passwords and refresh tokens become sessions.

It must never show what a provider says about a password or a token, nor send either over a connection that others can read.
"""

from collections.abc import Mapping
from typing import Any, cast

import httpx

from cli.connection import connect, is_here, unreachable
from cli.exits import CliError, Exit
from cli.sessions import Session

LOGIN = "Run: ./async-code login"
_TOO_MANY, _SERVER_ERROR = 429, 500


def ended() -> CliError:
    """The session does not hold any more."""
    return CliError("The sign-in has ended.", LOGIN, Exit.NOT_SIGNED_IN)


class IdentityProvider:
    """Where one server's users sign in."""

    def __init__(self, server: str, url: str) -> None:
        self._server = server
        self.url = url.rstrip("/")
        plain = self.url.startswith("http://") and (is_here(self.url) or server.startswith("http://"))
        if not (plain or self.url.startswith("https://")):
            raise CliError(f"{server} names an address for signing in that is not safe: {self.url}", "Tell its operator.", Exit.REFUSED)

    def by_password(self, email: str, password: str) -> Session:
        """Sign in. Raises CliError."""
        answer = self._ask("password", {"email": email, "password": password})
        if answer.is_error:
            raise CliError("The address or the password is wrong.", "Try again, or ask whoever runs the server.", Exit.NOT_SIGNED_IN)
        return self._session(answer)

    def by_refresh_token(self, session: Session) -> Session:
        """The next tokens of a session. Raises CliError."""
        answer = self._ask("refresh_token", {"refresh_token": session.refresh_token})
        if answer.is_error:
            raise ended()
        return self._session(answer)

    def sign_out(self, session: Session) -> bool:
        """End the session at the provider too; gives whether it is known to have ended."""
        headers = {"authorization": f"Bearer {session.access_token}"}
        try:
            with connect(self.url) as http:
                return http.post(f"{self.url}/logout", params={"scope": "local"}, headers=headers).status_code < _SERVER_ERROR
        except httpx.RequestError:
            return False

    def _ask(self, grant: str, body: Mapping[str, str]) -> httpx.Response:
        try:
            with connect(self.url) as http:
                answer = http.post(f"{self.url}/token", params={"grant_type": grant}, json=dict(body))
        except httpx.RequestError as error:
            raise unreachable(self.url, error) from error
        if answer.status_code == _TOO_MANY:
            raise CliError("There were too many attempts to sign in.", "Wait some minutes, then try again.", Exit.REFUSED)
        if answer.status_code >= _SERVER_ERROR:
            raise CliError(f"{self.url} cannot sign anybody in just now.", "Try again in a moment.", Exit.UNREACHABLE)
        return answer

    def _session(self, answer: httpx.Response) -> Session:
        try:
            given = cast("dict[str, Any]", answer.json())
            return Session(
                server=self._server,
                auth_url=self.url,
                email=str(given["user"].get("email") or ""),
                access_token=str(given["access_token"]),
                refresh_token=str(given["refresh_token"]),
                expires_at=float(given["expires_at"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CliError(f"{self.url} does not answer as an identity provider does.", "Check the server's address.") from error
