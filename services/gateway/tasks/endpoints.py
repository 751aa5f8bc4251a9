"""`/v1/tasks`."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Query, Response, status

from services.gateway import idempotency
from services.gateway.api_tokens import queries as api_tokens
from services.gateway.errors import NotFound
from services.gateway.idempotency import IdempotencyKey
from services.gateway.identity import claims
from services.gateway.paging import Page, Window, window
from services.gateway.parts import CallerOf, Parts, PartsOf
from services.gateway.tasks import actions, position, queries
from services.gateway.tasks.actions import Asked
from services.gateway.tasks.freshness import fresh
from services.gateway.tasks.queries import Stored
from services.gateway.tasks.schemas import Approval, ByHand, NewTask, Nothing, Raise, Task, TaskDetail
from services.gateway.tasks.sse import EventStream, Leave
from services.gateway.tasks.stream import Event, Pace, TaskStream
from services.gateway.tasks.submission import submit
from services.gateway.tokens import Caller
from shared.events.ids import ProjectId, TaskId
from shared.events.values import TaskState

router = APIRouter(prefix="/v1/tasks", tags=["tasks"])

REVOKED_SECONDS: Final = 1.0
"""No event reaches a client by an API token that was revoked longer ago."""


@router.post("", status_code=status.HTTP_201_CREATED)
async def create(parts: PartsOf, caller: CallerOf, new: NewTask, response: Response, idempotency_key: IdempotencyKey = None) -> Task:
    """Hand in a task. Once this answers it is not lost, whatever process dies."""
    async with parts.database.transaction(claims(caller.owner)) as connection:
        claimed = idempotency.claim(caller.owner, idempotency_key, "POST /v1/tasks", new)
        hours = parts.settings.idempotency_hours
        task = await idempotency.once(connection, claimed, hours, Task, lambda: submit(parts, connection, caller.owner, new))
    response.headers["Location"] = f"/v1/tasks/{task.id}"
    return task


@router.get("")
async def page(
    parts: PartsOf,
    caller: CallerOf,
    part: Annotated[Window, Depends(window)],
    project_id: Annotated[ProjectId | None, Query()] = None,
    state: Annotated[TaskState | None, Query()] = None,
) -> Page[Task]:
    """Your tasks, newest first."""
    async with parts.database.transaction(claims(caller.owner)) as connection:
        found = await queries.page(connection, caller.owner, part, project_id, state)
    return Page(items=found[: part.limit], next_cursor=part.next_cursor([(task.created_at, task.id) for task in found]))


@router.get("/{task_id}")
async def get(parts: PartsOf, caller: CallerOf, task_id: TaskId) -> TaskDetail:
    """One task with its prompt."""
    async with parts.database.transaction(claims(caller.owner)) as connection:
        stored = await queries.get(connection, caller.owner, task_id)
        if stored is None:
            raise NotFound
        told = await queries.told(connection, caller.owner, task_id)
    now = await fresh(parts.bus.read, caller.owner, stored)
    return TaskDetail(**dict(now.task), prompt=told and told.prompt, append_system_prompt=told and told.system_prompt)


@router.post("/{task_id}/cancel", status_code=status.HTTP_202_ACCEPTED)
async def cancel(parts: PartsOf, caller: CallerOf, task_id: TaskId, idempotency_key: IdempotencyKey = None) -> Task:
    """Ask for the task to stop, wherever it is. What it made is kept. 409 when it has ended."""
    return await actions.once(Asked(parts, caller.owner, task_id, idempotency_key), "cancel", Nothing(), actions.cancel)


@router.post("/{task_id}/approve", status_code=status.HTTP_202_ACCEPTED)
async def approve(parts: PartsOf, caller: CallerOf, task_id: TaskId, approval: Approval, idempotency_key: IdempotencyKey = None) -> Task:
    """Let the held change with this tree be pushed. 409 when none waits, or another one."""
    return await actions.once(Asked(parts, caller.owner, task_id, idempotency_key), "approve", approval, actions.approve)


@router.post("/{task_id}/reject", status_code=status.HTTP_202_ACCEPTED)
async def reject(parts: PartsOf, caller: CallerOf, task_id: TaskId, idempotency_key: IdempotencyKey = None) -> Task:
    """Say that the held change is not wanted: the task ends without a branch, and nothing is kept of it. 409 when none waits.

    Of a task that waits for a budget: it is not raised, and the task ends as failed, its work kept.
    """
    return await actions.once(Asked(parts, caller.owner, task_id, idempotency_key), "reject", Nothing(), actions.reject)


@router.post("/{task_id}/budget", status_code=status.HTTP_202_ACCEPTED)
async def budget(parts: PartsOf, caller: CallerOf, task_id: TaskId, more: Raise, idempotency_key: IdempotencyKey = None) -> Task:
    """Raise the budget that the task waits for: it goes on where it stopped. 409 when it waits for none. The first of several counts."""
    raised = actions.raising(parts.settings.max_limits.max_cost_usd)
    return await actions.once(Asked(parts, caller.owner, task_id, idempotency_key), "budget", more, raised)


@router.post("/{task_id}/publish", status_code=status.HTTP_202_ACCEPTED)
async def publish(
    parts: PartsOf, caller: CallerOf, task_id: TaskId, by_hand: ByHand | None = None, idempotency_key: IdempotencyKey = None
) -> Task:
    """Publish what was kept of a task that failed, was cancelled or ran out of time. 409 when nothing is kept, or another tree.

    The task waits for your approval first, with its diff, unless you name the tree of a diff that is stored.
    """
    return await actions.once(Asked(parts, caller.owner, task_id, idempotency_key), "publish", by_hand or ByHand(), actions.publish)


@router.post("/{task_id}/discard", status_code=status.HTTP_202_ACCEPTED)
async def discard(parts: PartsOf, caller: CallerOf, task_id: TaskId, idempotency_key: IdempotencyKey = None) -> Task:
    """Give up what was kept: it can not be published any more. Its stored bytes go when their time is over. 409 when nothing is kept."""
    return await actions.once(Asked(parts, caller.owner, task_id, idempotency_key), "discard", Nothing(), actions.discard)


LastEventId = Annotated[
    str | None, Header(alias="Last-Event-ID", description="The id of the last event you have: the stream goes on behind it.")
]


@router.get("/{task_id}/events", response_class=EventStream, status_code=status.HTTP_200_OK)
async def events(parts: PartsOf, caller: CallerOf, task_id: TaskId, last_event_id: LastEventId = None) -> EventStream:
    """The task as it happens: `snapshot` (the task), `state`, `fact` and `output` events, and `end` (the task) when it has ended."""
    stored = await load(parts, caller, task_id)
    where = position.subjects(caller.owner, task_id)
    place = position.parse(last_event_id) if last_event_id else None
    parts.require_bus()
    if place is not None:
        await position.check(parts.bus.read, where, place, stored.progress)
    pace = Pace(parts.settings.stream_heartbeat_seconds)

    @asynccontextmanager
    async def opened() -> AsyncGenerator[AsyncIterator[Event]]:
        async with parts.streams.open(caller.owner, where) as watch:
            yield TaskStream(parts.bus.read, watch, where, task=stored.task, progress=stored.progress, position=place).events(pace)

    return EventStream(opened, _leave(parts, caller, task_id))


def _leave(parts: Parts, caller: Caller, task_id: TaskId) -> Leave:
    grant, recheck = caller.api_token, parts.settings.stream_recheck_seconds

    async def still_allowed() -> bool:
        async with parts.database.transaction(claims(caller.owner)) as connection:
            if grant is not None and not await api_tokens.is_good(connection, caller.owner, grant.token_id):
                return False
            return await queries.get(connection, caller.owner, task_id) is not None

    seconds = recheck if grant is None else min(recheck, REVOKED_SECONDS)
    return Leave(caller.expires_at, seconds, still_allowed, parts.settings.stream_write_seconds)


async def load(parts: Parts, caller: Caller, task_id: TaskId) -> Stored:
    """The caller's task. Raises NotFound."""
    async with parts.database.transaction(claims(caller.owner)) as connection:
        stored = await queries.get(connection, caller.owner, task_id)
    if stored is None:
        raise NotFound
    return await fresh(parts.bus.read, caller.owner, stored)
