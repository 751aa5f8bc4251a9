"""A trail of a test's own: real NATS with its AUDIT account, real Postgres, and the audit service as a process that can be killed."""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from services.audit import checkpoint, keys
from services.audit.findings import Report
from services.audit.sources import DatabaseSource
from services.audit.verify import examine
from shared.bus.connection import Bus
from shared.bus.streams import Stream
from tests.servers.nats import NatsServer, free_port
from tests.servers.postgres import PostgresDatabase

WAIT_SECONDS = 60

Change = tuple[Any, ...]
"""A statement and its values."""


@dataclass
class Service:
    """One replica, as a process."""

    environment: dict[str, str]
    log_file: Path
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self.log_file.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.audit", env=self.environment, stderr=log, stdin=asyncio.subprocess.DEVNULL
            )

    async def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        return await self.process.wait()

    async def readiness(self) -> dict[str, Any]:
        """What /readyz says; an empty answer while nobody listens."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(self.environment["HEALTH_PORT"]))
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = await reader.read()
            writer.close()
        except OSError:
            return {}
        return json.loads(answer.partition(b"\r\n\r\n")[2] or b"{}")

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log_file.read_text().split("\n")[:-1] if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    async def has_logged(self, event: str) -> bool:
        await self.readiness()  # a round trip, so that whoever asks again and again lets it work
        return bool(self.logged(event))


ORIGIN = "test.example/trail"


@dataclass
class Stored:
    """A log in Postgres, what was published of it, and who may do anything to it."""

    database: PostgresDatabase
    directory: Path
    superuser: "asyncpg.Connection[asyncpg.Record]"

    @property
    def signing_key_file(self) -> Path:
        return self.directory / "signing.pem"

    @property
    def key_file(self) -> Path:
        return keys.verifier_key_file(self.signing_key_file)

    @property
    def checkpoint_file(self) -> Path:
        return self.directory / "checkpoints"

    async def size(self) -> int:
        return await self.superuser.fetchval("select count(*) from audit.entries")

    def sealed_size(self) -> int:
        if not self.checkpoint_file.exists():
            return 0
        notes, _ = checkpoint.split_notes(self.checkpoint_file.read_text())
        return checkpoint.parse_unverified(notes[-1]).size if notes else 0

    async def report(self) -> Report:
        async with DatabaseSource.opened(self.database.settings("audit_reader")) as source:
            return await examine(source, self.checkpoint_file.read_text(), keys.load_verifier_key(self.key_file))

    async def tamper(self, *changes: Change) -> None:
        """What a superuser of the database can do who wants no trace."""
        async with self.superuser.transaction():
            for table in ("entries", "checkpoints"):
                await self.superuser.execute(f"alter table audit.{table} disable trigger append_only")
            for statement, *values in changes:
                await self.superuser.execute(statement, *values)
            for table in ("entries", "checkpoints"):
                await self.superuser.execute(f"alter table audit.{table} enable always trigger append_only")


@dataclass
class Trail(Stored):
    """The same with a bus, and with services that keep it."""

    nats: NatsServer
    services: list[Service] = field(default_factory=list[Service])

    def service(self, **more: str) -> Service:
        number = len(self.services)
        bus = self.nats.settings("audit")
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONUNBUFFERED": "1",
            "NATS_URL": bus.url,
            "NATS_USER": bus.user,
            "NATS_NKEY_FILE": str(bus.nkey_file),
            **self.database.environment("audit"),
            "HEALTH_PORT": str(free_port()),
            "AUDIT_SIGNING_KEY_FILE": str(self.signing_key_file),
            "AUDIT_CHECKPOINT_FILE": str(self.checkpoint_file),
            "AUDIT_ORIGIN": ORIGIN,
            "AUDIT_SEAL_SECONDS": "0.2",
            "AUDIT_SEAL_ENTRIES": "700",
        }
        self.services.append(Service(environment | more, self.directory / f"audit-{number}.log"))
        return self.services[-1]

    async def started(self, **more: str) -> Service:
        service = self.service(**more)
        await service.start()
        return service

    async def entered(self, size: int) -> None:
        """Return once the log has this size and is sealed."""

        async def there() -> bool:
            return await self.size() >= size and self.sealed_size() >= size

        await until(there, f"{size} sealed entries", lambda: "\n".join(s.log_file.read_text()[-3000:] for s in self.services))


async def until(condition: Callable[[], Awaitable[bool]], what: str, about: Callable[[], str] = lambda: "") -> None:
    """Ask again and again: each question is a round trip to a real server."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not await condition():
        assert time.monotonic() < deadline, f"no {what} within {WAIT_SECONDS} seconds\n{about()}"


async def publish(
    nats: NatsServer, user: str, stream: Stream, subject: str, payloads: Iterable[bytes], *, headers: dict[str, str] | None = None
) -> None:
    """Store messages as `user`, in their order, each acknowledged."""
    bus = await Bus.connect(nats.settings(user))
    try:
        context = bus.nats.jetstream()  # pyright: ignore[reportUnknownMemberType]
        for chunk in _chunks(list(payloads)):
            waiting = [
                await context.publish_async(subject, payload, stream=stream, headers=headers)  # pyright: ignore[reportUnknownMemberType]
                for payload in chunk
            ]
            await asyncio.gather(*waiting)
    finally:
        await bus.nats.close()


def _chunks(payloads: list[bytes]) -> Iterable[list[bytes]]:
    return (payloads[at : at + 500] for at in range(0, len(payloads), 500))


@pytest.fixture
async def superuser(database: PostgresDatabase) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await database.connect()
    try:
        yield connection
    finally:
        connection.terminate()


@pytest.fixture
async def trail(
    nats_server: NatsServer, database: PostgresDatabase, superuser: "asyncpg.Connection[asyncpg.Record]", tmp_path: Path
) -> AsyncIterator[Trail]:
    made = Trail(database, tmp_path, superuser, nats_server)
    try:
        yield made
    finally:
        for service in made.services:
            if service.process is not None and service.process.returncode is None:
                await service.stop()
