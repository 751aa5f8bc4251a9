"""Gives an owner's free slots to the oldest of the owner's queued tasks. Never more than the setting allows, over all replicas.

Not part of the transaction that frees a slot: that one holds a task's lock, and taking an owner's lock or another task's on top could
deadlock. If the process dies in between, the message that freed the slot is delivered again and ends here, and a sweep looks too.
"""

import structlog

from services.scheduler import accounts, repository
from services.scheduler.clock import Clock
from services.scheduler.decision import SlotFree
from services.scheduler.ledger import Ledger
from services.scheduler.settings import Budgets
from services.scheduler.task import known
from shared.events.ids import OwnerId
from shared.store.database import Connection, Database

log = structlog.get_logger(__name__)

_BEYOND = 50


class Slots:
    """The running slots of all owners."""

    def __init__(self, database: Database, ledger: Ledger, clock: Clock, per_owner: int, budgets: Budgets | None = None) -> None:
        self._database = database
        self._ledger = ledger
        self._clock = clock
        self._per_owner = per_owner
        self._budgets = budgets or Budgets()

    async def fill(self, owner: OwnerId) -> None:
        """Start what may start now."""
        async with self._database.transaction() as connection:
            free = await repository.free_slots(connection, owner, self._per_owner)
            if free > 0:
                await self._give(connection, owner, free)

    async def _give(self, connection: Connection, owner: OwnerId, free: int) -> None:
        """A task for which the month has nothing left takes no slot: those behind it may be of another project."""
        purse = await accounts.purse(connection, owner, self._budgets, self._clock.now())
        for task in await repository.queued(connection, owner, free + (_BEYOND if purse.bounded else 0)):
            project_id = known(task.order).project_id
            with structlog.contextvars.bound_contextvars(task_id=task.task_id, owner=owner):
                decision = await self._ledger.act(connection, task, SlotFree(purse.rooms(project_id)), self._clock.now())
            if decision.task is not None and decision.task.holds_slot:
                free -= 1
                purse = purse.promising(project_id, decision.task.promised_usd)
            if free == 0:
                return

    async def sweep(self) -> None:
        """Start what may start now, whoever it belongs to."""
        async with self._database.transaction() as connection:
            owners = await repository.owners_with_room(connection, self._per_owner)
        for owner in owners:
            log.info("slot_found_by_sweep", owner=owner)
            await self.fill(owner)
