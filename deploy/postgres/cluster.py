"""One Postgres cluster on this machine: how it is made, started, stopped and asked whether it is ready.

Used by the supervisor and by the tests, so that both run the same server. It never trusts a connection (SCRAM for all of them), never
listens beyond loopback, and never runs as root: started by root, it drops to the account it is given.
"""

import asyncio
import contextlib
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGINT
from typing import Any, Final

from deploy.postgres.binaries import Binaries

SUPERUSER: Final = "postgres"
STOP_SIGNAL: Final = SIGINT
"""Fast shutdown: ends the sessions, keeps every committed transaction (Postgres documentation, 18.5)."""

MAX_WAL_BYTES: Final = 1024 * 1024 * 1024
"""From there on a checkpoint makes old segments of the write-ahead log reusable; a burst of writes may go beyond for its moment."""

_LOOPBACK = "127.0.0.1"
_SETTINGS: Final[Mapping[str, str]] = {
    "password_encryption": "scram-sha-256",
    "unix_socket_permissions": "0700",
    "logging_collector": "off",  # stderr belongs to whoever started it
    "log_statement": "none",  # statements and row values can hold what people wrote
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",  # DETAIL would print the row that broke a constraint
    "log_checkpoints": "off",
    "max_connections": "200",
    "max_wal_size": f"{MAX_WAL_BYTES // 1024**2}MB",
    "max_slot_wal_keep_size": f"{MAX_WAL_BYTES // 1024**2}MB",  # a forgotten replication slot would keep all of it
    "temp_file_limit": "1GB",  # of one session: no query of ours sorts so much
    "autovacuum_naptime": "30s",  # outbox and inbox turn over quickly
    "autovacuum_vacuum_cost_limit": "1000",
    "idle_in_transaction_session_timeout": "5min",  # a transaction left open keeps every dead row of the database
    "tcp_keepalives_idle": "10",  # a leader whose machine vanished gives up its advisory lock in half a minute
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}


class ClusterFailed(RuntimeError):
    """Postgres did not do what was asked; the text is its own."""


@dataclass(frozen=True)
class Account:
    """The operating system user that Postgres runs as."""

    uid: int
    gid: int

    @classmethod
    def named(cls, name: str) -> "Account":
        """That user of this machine. Raises KeyError where there is none."""
        entry = pwd.getpwnam(name)
        return cls(entry.pw_uid, entry.pw_gid)


@dataclass(frozen=True)
class Cluster:
    """A data directory and the addresses it serves: a socket in a directory of its own, and loopback.

    `account` is needed when the caller is root, and impossible otherwise.
    """

    binaries: Binaries
    data: Path
    sockets: Path
    port: int
    account: Account | None = None
    settings: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        if (os.geteuid() == 0) != (self.account is not None):
            raise ClusterFailed("Postgres refuses to run as root: root must name an account, nobody else can")

    @property
    def initialised(self) -> bool:
        """Whether `init` has finished here."""
        return (self.data / "PG_VERSION").exists()

    def init(self, password: str) -> None:
        """Make the data directory, with `password` for the superuser. Does nothing where there is one."""
        self._own(self.sockets)
        if self.initialised:
            return
        making = self.data.with_name(f"{self.data.name}.making-{secrets.token_hex(4)}")
        self._own(making)
        with self._password_file(password) as password_file:
            self._run("initdb", "-D", str(making), "-U", SUPERUSER, "-A", "scram-sha-256", f"--pwfile={password_file}", *_INITDB)
        making.rename(self.data)

    def argv(self) -> list[str]:
        """What to start, in the foreground, with `spawn_as()` beside it."""
        own = {"listen_addresses": _LOOPBACK, "port": str(self.port), "unix_socket_directories": str(self.sockets)}
        options = [f"--{name}={value}" for name, value in {**_SETTINGS, **self.settings, **own}.items()]
        return [self.binaries.program("postgres"), "-D", str(self.data), *options]

    def spawn_as(self) -> dict[str, Any]:
        """Keyword arguments for `subprocess.Popen` and its asyncio twin that drop root and keep nothing of its environment."""
        return {**_identity(self.account), "env": _ENVIRONMENT, "cwd": "/"}

    async def is_ready(self) -> bool:
        """Whether it accepts connections now (recovery is over). Needs no password."""
        arguments = ("-q", "-h", str(self.sockets), "-p", str(self.port), "-t", "3")
        process = await asyncio.create_subprocess_exec(self.binaries.program("pg_isready"), *arguments, env=_ENVIRONMENT)
        return await process.wait() == 0

    async def wait_ready(self, timeout_seconds: float = 60) -> None:
        """Return once it accepts connections. Raises TimeoutError."""
        async with asyncio.timeout(timeout_seconds):
            while not await self.is_ready():  # noqa: ASYNC110 - another process gets ready, and says so to nobody
                await asyncio.sleep(0.05)

    def url(self, role: str, database: str) -> str:
        """The address for a service on this machine; the password is never part of it."""
        return f"postgresql://{role}@{_LOOPBACK}:{self.port}/{database}"

    def _run(self, program: str, *arguments: str) -> None:
        try:
            subprocess.run(
                [self.binaries.program(program), *arguments], **self.spawn_as(), check=True, capture_output=True, text=True, timeout=120
            )
        except subprocess.CalledProcessError as error:
            raise ClusterFailed(f"{program} failed: {error.stderr.strip()}") from error

    def _own(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        if self.account:
            os.chown(directory, self.account.uid, self.account.gid)

    @contextlib.contextmanager
    def _password_file(self, password: str) -> Any:
        directory = Path(tempfile.mkdtemp(prefix="initdb-"))
        try:
            self._own(directory)
            path = directory / "password"
            path.touch(mode=0o600)
            path.write_text(f"{password}\n")
            if self.account:
                os.chown(path, self.account.uid, self.account.gid)
            yield path
        finally:
            shutil.rmtree(directory)


_INITDB = ("--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums", "--no-instructions")
"""C.UTF-8 sorts by code point: an upgrade of the C library cannot change the order and so break an index."""

_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _identity(account: Account | None) -> dict[str, Any]:
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}
