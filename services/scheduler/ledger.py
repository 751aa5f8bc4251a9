"""Carries out decisions: the task, the messages and the fate of one decision are written in one transaction, or none of them is.

It must never decide, and never publish: what is written to the outbox leaves by the relay after the commit.
"""

import asyncio
import json
from datetime import datetime
from typing import Final

import structlog

from services.scheduler import accounts, repository
from services.scheduler.budgets import told_usd
from services.scheduler.deadlines import Rules
from services.scheduler.decision import Decision, Internal, Message, RunFate
from services.scheduler.table import decide
from services.scheduler.task import Task
from shared.bus.streams import Stream
from shared.events import ids
from shared.store.database import Connection
from shared.store.inbox import Inbox
from shared.store.outbox import Outbox

log = structlog.get_logger(__name__)

SCHEMA: Final = "scheduler"


class Ledger:
    """The scheduler's tables, and the rules its decisions follow."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.inbox = Inbox(SCHEMA)
        self.outbox = Outbox(SCHEMA)
        self.deadline_set = asyncio.Event()
        """Set whenever a task got a deadline, so that the loop looks whether it is the next one."""

    async def act(self, connection: Connection, task: Task | None, message: Message, now: datetime) -> Decision:
        """Decide what the message does to the locked task, and write it down."""
        decision = decide(task, message, now, self.rules)
        name = _name(message)
        if task is not None and not isinstance(message, Internal) and (usd := told_usd(message)):
            await accounts.note(connection, task, message, usd)
        if decision.ignored is not None:
            log.info("message_ignored", message=name, state=task.state.value if task else None, reason=decision.ignored)
            return decision
        if decision.task is not None and decision.task != task:
            await repository.save(connection, decision.task)
            if decision.task.deadline_at is not None:
                self.deadline_set.set()
        if decision.fate is not None:
            await self._enqueue_fate(connection, decision.fate)
        for envelope in decision.messages:
            await self.outbox.enqueue(connection, envelope)
        log.info("message_decided", message=name, state=decision.task.state.value if decision.task else None)
        return decision

    async def _enqueue_fate(self, connection: Connection, decree: RunFate) -> None:
        """A run's fate goes out before what follows from it: the holder should stop first. It has one, so its id is the run's."""
        payload = json.dumps({"fate": decree.fate.value}).encode()
        message_id = ids.derive(decree.run_id, "fate")
        await self.outbox.enqueue_raw(connection, Stream.KV_FATE, f"$KV.fate.{decree.run_id}", payload, message_id)


def _name(message: Message) -> str:
    return type(message).__name__ if isinstance(message, Internal) else message.type
