"""Replicas of the scheduler on a real database, and a world of git and runners that answers each command from a script.

The bus between them is a queue in this process: what NATS itself may do to messages is tested with NATS.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from services.scheduler.deadlines import Rules
from services.scheduler.handlers import Handlers
from services.scheduler.ledger import Ledger
from services.scheduler.overdue import Overdue
from services.scheduler.slots import Slots
from shared.bus.errors import Postpone
from shared.events import catalogue, commands
from shared.events.envelope import AnyEnvelope
from shared.events.ids import OwnerId, TaskId
from shared.events.values import ENDED, TaskState
from shared.store.database import Database
from shared.store.outbox import OutboxRow, Relay
from tests.servers.postgres import PostgresDatabase
from tests.unit.services.scheduler.messages import Script


@dataclass
class HandClock:
    """A clock that stands still until it is moved."""

    time: datetime = field(default_factory=lambda: datetime.now(UTC))

    def now(self) -> datetime:
        return self.time

    def pass_seconds(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class Replica:
    """One scheduler process's objects, without its bus."""

    def __init__(self, database: Database, clock: HandClock, rules: Rules, per_owner: int = 5) -> None:
        self.database = database
        self.ledger = Ledger(rules)
        self.slots = Slots(database, self.ledger, clock, per_owner)
        self.handlers = Handlers(database, self.ledger, self.slots, clock)
        self.overdue = Overdue(database, self.ledger, self.slots, clock, sweep_seconds=15)

    async def hear(self, envelope: AnyEnvelope) -> None:
        """As the bus does: a postponed message is delivered again."""
        while True:
            try:
                return await self.handlers.handle(envelope, None)
            except Postpone:
                await asyncio.sleep(0)


Answers = Callable[[Script, AnyEnvelope], list[AnyEnvelope]]


def all_goes_well(script: Script, command: AnyEnvelope) -> list[AnyEnvelope]:
    """The facts with which git and a runner answer a command."""
    match command.data:
        case commands.GitPrepare():
            return [script.prepared(command.id)]
        case commands.RunnerStart():
            return [script.started(command.id, 1), script.finished(command.id, 1)]
        case commands.GitPublish():
            return [script.change_prepared(command.id), script.published(command.id)]
        case _:
            return []


@dataclass
class World:
    """Everything outside the scheduler: what it published, and who answers."""

    replicas: list[Replica]
    clock: HandClock
    answers: Answers = all_goes_well
    published: list[AnyEnvelope] = field(default_factory=list[AnyEnvelope])
    fates: list[OutboxRow] = field(default_factory=list[OutboxRow])
    copies: int = 1
    """How often each message is delivered."""
    _queue: "asyncio.Queue[AnyEnvelope]" = field(default_factory=asyncio.Queue["AnyEnvelope"])
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    def say(self, *messages: AnyEnvelope) -> None:
        for message in messages * self.copies:
            self._queue.put_nowait(message)

    async def publish(self, row: OutboxRow) -> None:
        """What the relay calls."""
        if row.stream == "KV_fate":
            self.fates.append(row)
            return
        envelope = catalogue.parse(row.payload)
        script = Script(OwnerId(envelope.owner), TaskId(envelope.task))
        async with self._news:
            self.published.append(envelope)
            self._news.notify_all()
        if row.stream == "CMD":
            self.say(*self.answers(script, envelope))

    async def deliver(self) -> None:
        """One of the world's hands: takes a message to some replica."""
        while True:
            message = await self._queue.get()
            await random.choice(self.replicas).hear(message)  # noqa: S311 - any of them
            self._queue.task_done()

    async def until(self, said: Callable[[list[AnyEnvelope]], bool]) -> None:
        async with asyncio.timeout(120), self._news:
            await self._news.wait_for(lambda: said(self.published))

    async def until_ended(self, tasks: int) -> None:
        await self.until(lambda published: len(ended(published)) >= tasks)
        await self._queue.join()

    def told(self, script: Script) -> list[str]:
        return [message.type for message in self.published if message.task == script.task]


def ended(published: list[AnyEnvelope]) -> list[AnyEnvelope]:
    """The facts that say that a task has ended."""
    kinds = {f"task.{state}.v1" for state in ENDED}
    return [message for message in published if message.type in kinds]


def outcomes(published: list[AnyEnvelope]) -> Counter[TaskState]:
    return Counter(TaskState(message.type.split(".")[1]) for message in ended(published))


@asynccontextmanager
async def world(database: PostgresDatabase, *, replicas: int = 1, hands: int = 4, rules: Rules | None = None) -> AsyncGenerator[World]:
    clock = HandClock()
    pools = [await Database.open(database.settings("scheduler")) for _ in range(replicas)]
    here = World([Replica(pool, clock, rules or Rules()) for pool in pools], clock)
    relays = [Relay(replica.database, replica.ledger.outbox, here.publish) for replica in here.replicas]
    try:
        async with asyncio.TaskGroup() as group:  # what fails in the world fails the test
            work = [group.create_task(relay.run()) for relay in relays] + [group.create_task(here.deliver()) for _ in range(hands)]
            yield here
            for task in work:
                task.cancel()
    finally:
        for pool in pools:
            await pool.close()
