"""The table `scheduler.tasks`: tasks by id under a lock, what is overdue, who waits for a slot. It must never decide anything.

Every method that changes or locks a row runs in the caller's transaction, and the row's lock is taken before anything is written to the
outbox: so what is said about one task stands there in the order in which it happened.

asyncpg takes a uuid as a plain `str` alone, not as one of our id types: hence `str(…)` below.
"""

from datetime import datetime

from pydantic import ValidationError

from services.scheduler.errors import TaskUnreadable
from services.scheduler.task import Task
from shared.events.ids import OwnerId, TaskId
from shared.store.database import Connection

_BIRTH_SPACE = 0x62697274  # "birt"
_SLOT_SPACE = 0x736C6F74  # "slot"

_LOCK = "select data from scheduler.tasks where task_id = $1 for update"
_LOCK_DUE = "select data from scheduler.tasks where task_id = $1 and deadline_at <= $2 for update skip locked"
_SAVE = """
insert into scheduler.tasks (task_id, owner, state, holds_slot, deadline_at, data, project_id, promised_usd)
values ($1, $2, $3, $4, $5, $6, $7, $8::double precision::numeric)
on conflict (task_id) do update set
    state = excluded.state, holds_slot = excluded.holds_slot, deadline_at = excluded.deadline_at, data = excluded.data,
    project_id = excluded.project_id, promised_usd = excluded.promised_usd, updated_at = now()
"""
_DUE = "select task_id from scheduler.tasks where deadline_at <= $1 order by deadline_at limit $2"
_NEXT_DEADLINE = "select min(deadline_at) from scheduler.tasks where deadline_at > $1"
_HOLDING = "select count(*) from scheduler.tasks where owner = $1 and holds_slot"
_QUEUED = "select data from scheduler.tasks where owner = $1 and state = 'queued' order by number limit $2 for update skip locked"
_AT_A_BUDGET = "select task_id from scheduler.tasks where owner = $1 and state = 'awaiting_budget' order by number"
_OWNERS_WITH_ROOM = """
select waiting.owner from (select distinct owner from scheduler.tasks where state = 'queued') as waiting
where (select count(*) from scheduler.tasks as busy where busy.owner = waiting.owner and busy.holds_slot) < $1
"""


def _read(document: str) -> Task:
    try:
        return Task.from_json(document)
    except ValidationError as error:
        raise TaskUnreadable("a stored task breaks its schema") from error


async def lock(connection: Connection, task_id: TaskId) -> Task | None:
    """The task, locked until the transaction ends; None for one never heard of, and then its birth is locked."""
    document = await connection.fetchval(_LOCK, str(task_id))
    if document is None:
        # Two first messages of one task (a cancel that overtakes its submit) must not both find nothing.
        await connection.execute("select pg_advisory_xact_lock($1, hashtext($2))", _BIRTH_SPACE, task_id)
        document = await connection.fetchval(_LOCK, str(task_id))
    return None if document is None else _read(document)


async def lock_due(connection: Connection, task_id: TaskId, now: datetime) -> Task | None:
    """The task, locked, if it is still overdue and nobody else is at it."""
    document = await connection.fetchval(_LOCK_DUE, str(task_id), now)
    return None if document is None else _read(document)


async def save(connection: Connection, task: Task) -> None:
    """Store the task as it is now."""
    project_id = str(task.order.project_id) if task.order is not None else None
    row = (str(task.task_id), str(task.owner), task.state.value, task.holds_slot, task.deadline_at, task.to_json(), project_id)
    await connection.execute(_SAVE, *row, task.promised_usd)


async def due(connection: Connection, now: datetime, limit: int) -> list[TaskId]:
    """The tasks whose deadline is over, the longest overdue first. Not locked."""
    return [TaskId(str(row["task_id"])) for row in await connection.fetch(_DUE, now, limit)]


async def next_deadline(connection: Connection, now: datetime) -> datetime | None:
    """The first deadline after `now`."""
    return await connection.fetchval(_NEXT_DEADLINE, now)


async def free_slots(connection: Connection, owner: OwnerId, slots: int) -> int:
    """How many of the owner's slots are free.

    They stay locked until the transaction ends: whoever else counts them waits, so that no slot is given twice, nor what a budget has left.
    """
    await connection.execute("select pg_advisory_xact_lock($1, hashtext($2))", _SLOT_SPACE, owner)
    return slots - await connection.fetchval(_HOLDING, str(owner))


async def queued(connection: Connection, owner: OwnerId, limit: int) -> list[Task]:
    """The oldest queued tasks of the owner, locked."""
    return [_read(row["data"]) for row in await connection.fetch(_QUEUED, str(owner), limit)]


async def at_a_budget(connection: Connection, owner: OwnerId) -> list[TaskId]:
    """The owner's tasks that wait for a budget. Not locked."""
    return [TaskId(str(row["task_id"])) for row in await connection.fetch(_AT_A_BUDGET, str(owner))]


async def owners_with_room(connection: Connection, slots: int) -> list[OwnerId]:
    """The owners who have a free slot and a task that waits for one."""
    return [OwnerId(str(row["owner"])) for row in await connection.fetch(_OWNERS_WITH_ROOM, slots)]
