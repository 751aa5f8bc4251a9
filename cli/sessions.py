"""Who is signed in where: one file of the user's own (0600), never a token on a command line or in the environment of a child.

A session is bound to the server's address: a token is sent to no other. Commands that run at once agree by a lock: a refresh token
works once, so the one who comes second must read what the first one got.
"""

import fcntl
import json
import os
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from cli.exits import CliError, Exit

EARLY_SECONDS = 30
"""A token that ends this soon is renewed before it is used."""

_OTHERS = 0o077


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

    def __repr__(self) -> str:
        return f"Session({self.server}, {self.email})"

    @property
    def fresh(self) -> bool:
        """Whether the access token can still be used."""
        return time.time() < self.expires_at - EARLY_SECONDS


class SessionFile:
    """The sessions of one user, by server."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        home = environment.get("XDG_CONFIG_HOME", "")
        if not home.startswith("/"):  # XDG Base Directory Specification: a relative path is ignored
            home = str(Path(environment.get("HOME") or "~").expanduser() / ".config")
        self.path = Path(home) / "async-code" / "sessions.json"

    def get(self, server: str) -> Session | None:
        """The session for this server, if there is one. Raises CliError for a file that others could have read or written."""
        return _session(self._load().get(server))

    def put(self, session: Session) -> None:
        """Store, replacing an older one of the same server."""
        with self._locked():
            self._save({**self._load(), session.server: asdict(session)})

    def renewed(self, server: str, stale: str, renew: Callable[[Session], Session]) -> Session | None:
        """The session whose access token is not `stale` any more: renewed here once, or already by another command."""
        with self._locked():
            sessions = self._load()
            session = _session(sessions.get(server))
            if session is None or session.access_token != stale:
                return session
            session = renew(session)
            self._save({**sessions, server: asdict(session)})
            return session

    def remove(self, server: str) -> Session | None:
        """Forget; gives the session there was."""
        with self._locked():
            sessions = self._load()
            found = _session(sessions.pop(server, None))
            if found:
                self._save(sessions)
            return found

    @contextmanager
    def _locked(self) -> Generator[None]:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.parent.chmod(0o700)
        # The lock lies beside the file, which is replaced as a whole. The kernel lets go of it however we end.
        descriptor = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _load(self) -> dict[str, Any]:
        try:
            with self.path.open() as file:
                if os.fstat(file.fileno()).st_mode & _OTHERS:
                    raise CliError(f"{self.path} is open to others.", "Delete it and sign in again.", Exit.NOT_SIGNED_IN)
                found: object = json.load(file)
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise CliError(f"{self.path} cannot be read.", "Delete it and sign in again.", Exit.NOT_SIGNED_IN) from error
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {}

    def _save(self, sessions: Mapping[str, Any]) -> None:
        descriptor, draft = tempfile.mkstemp(dir=self.path.parent, prefix=".sessions-")  # mkstemp makes it 0600
        try:
            with os.fdopen(descriptor, "w") as file:
                json.dump(sessions, file, indent=1)
            Path(draft).replace(self.path)
        except BaseException:
            Path(draft).unlink()
            raise


def _session(stored: Any) -> Session | None:
    """A stored session; one of another version of this program counts as none."""
    try:
        return Session(**stored)
    except TypeError:
        return None
