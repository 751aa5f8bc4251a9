"""Message in → decision → messages out, in one transaction per message: lock the task, note the message, decide, write down."""

import structlog

from services.scheduler import accounts, repository
from services.scheduler.clock import Clock
from services.scheduler.decision import BudgetChanged
from services.scheduler.ledger import Ledger
from services.scheduler.slots import Slots
from services.scheduler.task import Task
from shared.bus.errors import Postpone
from shared.events.commands import SchedulerSetBudget
from shared.events.envelope import NOBODY, AnyEnvelope, Envelope
from shared.events.ids import OwnerId, TaskId
from shared.events.values import TaskState
from shared.store.database import Database
from shared.store.errors import StoreConflict, StoreError

log = structlog.get_logger(__name__)

CONSUMER = "scheduler"
_DATABASE_AWAY_SECONDS = 2.0
_CONFLICT_SECONDS = 0.1


class Handlers:
    """Hears every command and fact the scheduler consumes."""

    def __init__(self, database: Database, ledger: Ledger, slots: Slots, clock: Clock) -> None:
        self._database = database
        self._ledger = ledger
        self._slots = slots
        self._clock = clock

    async def handle(self, envelope: AnyEnvelope, _delivery: object) -> None:
        """Act on a message once, however often it is delivered. While the database is away, messages wait: they are not at fault."""
        try:
            await self._handle(envelope)
        except StoreError as error:
            if not error.retryable:
                raise
            raise Postpone(_CONFLICT_SECONDS if isinstance(error, StoreConflict) else _DATABASE_AWAY_SECONDS) from error

    async def _handle(self, envelope: AnyEnvelope) -> None:
        if isinstance(envelope.data, SchedulerSetBudget) and envelope.owner != NOBODY:
            await self._budget_set(OwnerId(envelope.owner), envelope)
            return
        if NOBODY in (envelope.owner, envelope.task):
            log.info("message_ignored", message=envelope.type, reason="it names no task")
            return
        async with self._database.transaction() as connection:
            before = await repository.lock(connection, TaskId(envelope.task))
            if await self._ledger.inbox.first_time(connection, CONSUMER, envelope.id):
                decision = await self._ledger.act(connection, before, envelope, self._clock.now())
                slots_changed = _slots_changed(before, decision.task)
            else:
                # Its transaction committed; whether the slots were filled afterwards, nobody knows.
                log.info("message_heard_before", message=envelope.type)
                slots_changed = True
        if slots_changed:
            await self._slots.fill(OwnerId(envelope.owner))

    async def _budget_set(self, owner: OwnerId, envelope: Envelope[SchedulerSetBudget]) -> None:
        """A month's budget was set: those that wait for one are looked at again. Hearing it twice does it once: its version says so."""
        async with self._database.transaction() as connection:
            await accounts.set_budget(connection, owner, envelope.data)
            waiting = await repository.at_a_budget(connection, owner)
        for task_id in waiting:
            async with self._database.transaction() as connection:
                task = await repository.lock(connection, task_id)
                if task is not None:
                    await self._ledger.act(connection, task, BudgetChanged(envelope.id), self._clock.now())
        await self._slots.fill(owner)


def _slots_changed(before: Task | None, after: Task | None) -> bool:
    """Whether a task waits for a slot or gave one back.

    Also where this message did nothing to a task that waits: it held the row's lock while another one may have looked for the next task.
    """
    if after is None:
        return False
    return after.state is TaskState.QUEUED or (before is not None and before.holds_slot and not after.holds_slot)
