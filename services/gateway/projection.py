"""The read model's writer: a task's facts are folded into its row, in EVT's order, each once.

A delivered fact only says "look": what is folded is read from the stream behind the last one the row knows. So a fact that failed and
comes again after its successor is not passed over, replicas cannot disturb each other, and a replay from the start gives the same rows.
It acts as the task's owner, so row-level security holds for it too, and it decides nothing.
"""

from datetime import UTC, datetime
from typing import Final

import structlog

from services.gateway.identity import claims
from services.gateway.tasks import queries
from services.gateway.tasks.position import Read, subjects
from services.gateway.tasks.view import Progress, fold
from shared.bus.errors import ReadFailed
from shared.events import catalogue
from shared.events.envelope import NOBODY, AnyEnvelope
from shared.store.database import Database

BATCH: Final = 200

log = structlog.get_logger(__name__)


async def project(database: Database, read: Read, envelope: AnyEnvelope, sequence: int) -> None:
    """Bring the fact's task up to it. A fact of no task, or of one that was erased, is nothing to us.

    Raises ReadFailed where the stream does not show the fact yet, StoreUnavailable, StoreConflict.
    """
    if NOBODY in (envelope.owner, envelope.task):
        return
    async with database.transaction(claims(envelope.owner)) as connection:
        stored = await queries.get(connection, envelope.owner, envelope.task, lock=True)
        if stored is None:
            log.info("fact_without_task", task_id=envelope.task, type=envelope.type)
            return
        if sequence <= stored.progress.evt_sequence:
            return
        told = await _caught_up(read, subjects(envelope.owner, envelope.task).facts, stored.progress, sequence)
        await queries.update(connection, envelope.owner, envelope.task, *told)


async def _caught_up(read: Read, subject: str, progress: Progress, sequence: int) -> tuple[Progress, datetime]:
    """The progress with every fact that is there, and the time of the last one."""
    last, updated_at = progress.evt_sequence, datetime.now(UTC)
    while last < sequence:
        found = await read("EVT", subject, last, BATCH)
        if not found:
            raise ReadFailed("the stream does not show the fact that was delivered yet")
        for message in found:
            last = message.sequence
            try:
                envelope = catalogue.parse(message.data, message.subject)
            except catalogue.InvalidMessage:
                log.warning("fact_unreadable", sequence=message.sequence)
                continue
            progress, updated_at = fold(progress, message.sequence, envelope), envelope.time
    return progress, updated_at
