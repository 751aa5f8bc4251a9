"""Gives an owner's free slots to the oldest of the owner's queued tasks. Never more than the setting allows, over all replicas.

Not part of the transaction that frees a slot: that one holds a task's lock, and taking an owner's lock or another task's on top could
deadlock. If the process dies in between, the message that freed the slot is delivered again and ends here, and a sweep looks too.
"""

import structlog

from services.scheduler import repository
from services.scheduler.clock import Clock
from services.scheduler.decision import SlotFree
from services.scheduler.ledger import Ledger
from shared.events.ids import OwnerId
from shared.store.database import Database

log = structlog.get_logger(__name__)


class Slots:
    """The running slots of all owners."""

    def __init__(self, database: Database, ledger: Ledger, clock: Clock, per_owner: int) -> None:
        self._database = database
        self._ledger = ledger
        self._clock = clock
        self._per_owner = per_owner

    async def fill(self, owner: OwnerId) -> None:
        """Start what may start now."""
        async with self._database.transaction() as connection:
            for task in await repository.queued_for_free_slots(connection, owner, self._per_owner):
                with structlog.contextvars.bound_contextvars(task_id=task.task_id, owner=owner):
                    await self._ledger.act(connection, task, SlotFree(), self._clock.now())

    async def sweep(self) -> None:
        """Start what may start now, whoever it belongs to."""
        async with self._database.transaction() as connection:
            owners = await repository.owners_with_room(connection, self._per_owner)
        for owner in owners:
            log.info("slot_found_by_sweep", owner=owner)
            await self.fill(owner)
