"""A real Postgres for the tests: one server per session, a fresh migrated database per test.

`postgres` is the server (`kill()`, `restart()`); `database` a database of its own with every migration applied and a password for each
role: `database.settings("scheduler")` is what that service would get.
"""

import asyncio
import contextlib
import itertools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest

from deploy.postgres import apply, binaries
from deploy.postgres.cluster import STOP_SIGNAL, SUPERUSER, Account, Cluster
from shared.secrets.files import read_private, write_private
from shared.store.settings import StoreSettings

T = TypeVar("T")

_TEMPLATE = "async_code_template"
_NUMBERS = itertools.count(1)


def in_own_loop(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end beside whatever event loop pytest has."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(work())).result()


class PostgresServer:
    """A running cluster and the directory it lives in."""

    def __init__(self, directory: Path, *, fsync: bool = False) -> None:
        self.directory = directory
        account = Account.named("nobody") if os.geteuid() == 0 else None
        programs = binaries.find()
        if account and not programs.reachable_by(account.uid, account.gid):
            programs = programs.copied_to(directory / "programs")
        # fsync protects against the machine's failure; the tests kill processes, whose writes the kernel keeps.
        durability = {} if fsync else {"fsync": "off"}
        self.cluster = Cluster(programs, directory / "data", directory / "sockets", _free_port(), account, durability)
        self.admin_password_file = directory / "admin.password"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it accepts connections."""
        if not self.cluster.initialised:
            write_private(self.admin_password_file, secrets.token_urlsafe(24).encode())
            self.cluster.init(read_private(self.admin_password_file).decode())
        with (self.directory / "server.log").open("ab") as output:
            self._process = subprocess.Popen[bytes](self.cluster.argv(), stderr=output, stdout=output, **self.cluster.spawn_as())
        in_own_loop(self.cluster.wait_ready)

    def stop(self) -> None:
        """Shut down, ending every session."""
        if self._process is not None:
            self._process.send_signal(STOP_SIGNAL)
            self._process.wait(30)
            self._process = None

    def kill(self) -> None:
        """SIGKILL the server with all its children, as the kernel does when memory runs out. `start()` recovers it."""
        if self._process is None:
            return
        family = [*_children(self._process.pid), self._process.pid]
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(30)
        self._process = None

    def restart(self) -> None:
        """Stop, where it is running, and start again."""
        self.stop()
        self.start()

    async def connect(self, database: str = SUPERUSER) -> "asyncpg.Connection[asyncpg.Record]":
        """A superuser's connection."""
        return await asyncpg.connect(self.cluster.url(SUPERUSER, database), password=read_private(self.admin_password_file).decode())

    def apply_settings(self, database: str) -> apply.ApplySettings:
        """What an operator would give to `deploy.postgres.apply` for that database."""
        return apply.ApplySettings(
            admin_url=self.cluster.url(SUPERUSER, database),
            admin_password_file=self.admin_password_file,
            passwords_dir=self.directory / "passwords",
        )

    async def execute(self, statement: str) -> None:
        """Run one statement as the superuser."""
        connection = await self.connect()
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@dataclass(frozen=True)
class PostgresDatabase:
    """One migrated database of the test."""

    server: PostgresServer
    name: str

    def settings(self, service: str, **more: Any) -> StoreSettings:
        """What the service `gateway`, `scheduler`, `audit` or `audit_reader` gets."""
        role = f"async_code_{service}"
        return StoreSettings(url=self.server.cluster.url(role, self.name), password_file=self.password_file(service), **more)

    def password_file(self, service: str) -> Path:
        return apply.password_file(self.server.directory / "passwords", f"async_code_{service}")

    def environment(self, service: str) -> dict[str, str]:
        """The same for a process."""
        settings = self.settings(service)
        return {"DATABASE_URL": settings.url, "DATABASE_PASSWORD_FILE": str(settings.password_file)}

    async def connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        """A superuser's connection, to look at what a service did."""
        return await self.server.connect(self.name)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    directory = Path(tempfile.mkdtemp(prefix="async-code-pg-"))
    directory.chmod(0o711)  # the server's user must get through to its own directories
    server = PostgresServer(directory)
    try:
        server.start()
        in_own_loop(lambda: apply.apply(server.apply_settings(_TEMPLATE)))
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory)


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[PostgresDatabase]:
    name = f"test_{next(_NUMBERS)}"
    in_own_loop(lambda: postgres.execute(f"create database {name} template {_TEMPLATE}"))
    in_own_loop(lambda: _copy_database_grants(postgres, name))
    try:
        yield PostgresDatabase(postgres, name)
    finally:
        in_own_loop(lambda: postgres.execute(f"drop database {name} with (force)"))


async def _copy_database_grants(server: PostgresServer, name: str) -> None:
    """A copied database has its tables' grants but not the template's own."""
    await server.execute(f"revoke all on database {name} from public; grant connect on database {name} to {', '.join(apply.ROLES)}")
