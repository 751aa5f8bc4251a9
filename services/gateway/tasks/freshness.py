"""A task as new as its facts: what the projection has not stored yet is folded in while reading.

Streams read the facts themselves and are a moment ahead of the table. Whoever has seen an event must not be told the opposite by the next
request, nor be refused because of it.
"""

import asyncio
from typing import Final

import structlog

from services.gateway.tasks import position
from services.gateway.tasks.position import Read
from services.gateway.tasks.queries import Stored, task_of
from services.gateway.tasks.view import fold
from shared.bus.errors import Transient
from shared.events import catalogue
from shared.events.ids import OwnerId

BATCH: Final = 64
PATIENCE_SECONDS: Final = 1.0
"""Reading waits out short outages by itself, which is longer than somebody waits who has an answer already."""

log = structlog.get_logger(__name__)


async def fresh(read: Read, owner: OwnerId, stored: Stored) -> Stored:
    """The task with every fact that is stored by now; as the table knows it where the facts cannot be read."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await caught_up(read, owner, stored)
    except (Transient, TimeoutError) as error:  # the read model is for just this: the API answers while NATS does not
        log.warning("facts_unreadable", task_id=stored.task.id, reason=type(error).__name__)
        return stored


async def caught_up(read: Read, owner: OwnerId, stored: Stored) -> Stored:
    """The task with every fact that is stored by now. Raises ReadFailed where they cannot be read."""
    subject = position.subjects(owner, stored.task.id).facts
    progress, task, after = stored.progress, stored.task, stored.progress.evt_sequence
    while True:
        found = await read("EVT", subject, after, BATCH)
        for message in found:
            after = message.sequence
            try:
                envelope = catalogue.parse(message.data, message.subject)
            except catalogue.InvalidMessage:
                continue  # the projection dead-letters it
            progress = fold(progress, message.sequence, envelope)
            task = task_of(task, progress, envelope.time)
        if len(found) < BATCH:
            return Stored(progress, task)
