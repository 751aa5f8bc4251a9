"""Who is signed in where: one file of the user's own (0600), never a token on a command line or in the environment of a child.

A session is bound to the server's address: a token is sent to no other.
"""

import json
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

EARLY_SECONDS = 30
"""A token that ends this soon is renewed before it is used."""


@dataclass(frozen=True)
class Session:
    """What signing in gave."""

    server: str
    auth_url: str
    email: str
    access_token: str
    refresh_token: str
    expires_at: float
    """Unix time."""

    @property
    def fresh(self) -> bool:
        """Whether the access token can still be used."""
        return time.time() < self.expires_at - EARLY_SECONDS


def of_answer(answer: Mapping[str, Any], *, server: str, auth_url: str) -> Session:
    """A session from the auth server's token response."""
    return Session(
        server=server,
        auth_url=auth_url,
        email=str(answer["user"].get("email", "")),
        access_token=str(answer["access_token"]),
        refresh_token=str(answer["refresh_token"]),
        expires_at=float(answer["expires_at"]),
    )


class SessionFile:
    """The sessions of one user, by server."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        home = environment.get("XDG_CONFIG_HOME") or str(Path(environment.get("HOME", "/root")) / ".config")
        self.path = Path(home) / "async-code" / "sessions.json"

    def get(self, server: str) -> Session | None:
        """The session for this server, if there is one."""
        stored = self._load().get(server)
        return Session(**stored) if stored else None

    def put(self, session: Session) -> None:
        """Store, replacing an older one of the same server."""
        self._save({**self._load(), session.server: asdict(session)})

    def remove(self, server: str) -> bool:
        """Forget; gives whether there was one."""
        sessions = self._load()
        found = sessions.pop(server, None) is not None
        if found:
            self._save(sessions)
        return found

    def _load(self) -> dict[str, dict[str, Any]]:
        return cast("dict[str, dict[str, Any]]", json.loads(self.path.read_text())) if self.path.exists() else {}

    def _save(self, sessions: Mapping[str, Mapping[str, Any]]) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(dir=self.path.parent)  # mkstemp makes it 0600
        with os.fdopen(descriptor, "w") as file:
            json.dump(sessions, file, indent=1)
        Path(draft).replace(self.path)
