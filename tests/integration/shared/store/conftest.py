"""A service's database, outbox and a publisher that records."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from shared.store import Database, Outbox, OutboxRow
from tests.servers.postgres import PostgresDatabase


@pytest.fixture
async def store(database: PostgresDatabase) -> AsyncIterator[Database]:
    opened = await Database.open(database.settings("scheduler"))
    yield opened
    await opened.close()


@pytest.fixture
def outbox() -> Outbox:
    return Outbox("scheduler")


class Recorder:
    """A publisher that keeps what it was given, and fails or waits when told to."""

    def __init__(self) -> None:
        self.rows: list[OutboxRow] = []
        self.refuse: Callable[[OutboxRow], Exception | None] = lambda _row: None
        self.open = asyncio.Event()
        self.open.set()
        self.asked = asyncio.Event()
        self._changed = asyncio.Condition()

    async def __call__(self, row: OutboxRow) -> None:
        self.asked.set()
        await self.open.wait()
        if (error := self.refuse(row)) is not None:
            raise error
        async with self._changed:
            self.rows.append(row)
            self._changed.notify_all()

    @property
    def ids(self) -> list[str]:
        return [row.message_id for row in self.rows]

    async def until(self, count: int) -> list[str]:
        """The message ids, once that many were published."""
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: len(self.rows) >= count)
        return self.ids

    async def until_published(self, message_id: str) -> None:
        """Returns once that message was published."""
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: message_id in self.ids)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()
