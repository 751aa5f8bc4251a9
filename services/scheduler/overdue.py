"""Tells tasks that their deadline has passed, at the moment it does, also for deadlines that a crashed replica set.

Every replica runs this; a task's row lock decides which of them acts. It must never decide what a deadline means.
"""

import asyncio
from datetime import datetime, timedelta

import structlog

from services.scheduler import repository
from services.scheduler.clock import Clock
from services.scheduler.decision import DeadlinePassed
from services.scheduler.errors import TaskUnreadable
from services.scheduler.ledger import Ledger
from services.scheduler.slots import Slots
from shared.events.ids import TaskId
from shared.store.database import Database
from shared.store.errors import StoreError

log = structlog.get_logger(__name__)

_BATCH = 100


class Overdue:
    """The loop over what is due: deadlines, and free slots that nobody took."""

    def __init__(self, database: Database, ledger: Ledger, slots: Slots, clock: Clock, sweep_seconds: float) -> None:
        self._database = database
        self._ledger = ledger
        self._slots = slots
        self._clock = clock
        self._sweep = timedelta(seconds=sweep_seconds)

    async def run(self) -> None:
        """Work until cancelled. A database that is away is waited for."""
        swept = datetime.min.replace(tzinfo=self._clock.now().tzinfo)
        while True:
            self._ledger.deadline_set.clear()
            try:
                await self.pass_deadlines()
                if self._clock.now() - swept >= self._sweep:
                    swept = self._clock.now()
                    await self._slots.sweep()
                pause = await self._until_next()
            except StoreError as error:
                if not error.retryable:
                    raise
                log.warning("overdue_waits_for_database", reason=str(error))
                pause = 1.0
            await _wait(self._ledger.deadline_set, pause)

    async def pass_deadlines(self) -> None:
        """Act on everything that is due now."""
        while True:
            async with self._database.transaction() as connection:
                due = await repository.due(connection, self._clock.now(), _BATCH)
            acted = [await self._pass(task_id) for task_id in due]
            if len(due) < _BATCH or not any(acted):
                return

    async def _pass(self, task_id: TaskId) -> bool:
        """Whether the task was overdue still, and so has heard it. One unreadable row must not hold up the others."""
        with structlog.contextvars.bound_contextvars(task_id=task_id):
            try:
                async with self._database.transaction() as connection:
                    now = self._clock.now()
                    task = await repository.lock_due(connection, task_id, now)
                    if task is None:
                        return False
                    decision = await self._ledger.act(connection, task, DeadlinePassed(), now)
            except TaskUnreadable:
                log.exception("task_unreadable")
                return False
            if task.holds_slot and decision.task is not None and not decision.task.holds_slot:
                await self._slots.fill(task.owner)
            return decision.ignored is None

    async def _until_next(self) -> float:
        """Seconds until the next deadline or the next sweep. What is overdue and could not be acted on waits for the sweep."""
        now = self._clock.now()
        async with self._database.transaction() as connection:
            deadline = await repository.next_deadline(connection, now)
        return min(self._sweep, deadline - now if deadline is not None else self._sweep).total_seconds()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            await event.wait()
    except TimeoutError:
        return
