"""`/v1/audit`: a person's own part of the trail. The audit service is asked as that person; it never gives another's events."""

from typing import Annotated

from fastapi import APIRouter, Query

from services.gateway.parts import CallerOf, PartsOf
from services.gateway.trail.schemas import SignedCheckpoint, Trail, shown
from shared.events.ids import TaskId
from shared.events.questions import AskCheckpoint, AskTrail

router = APIRouter(prefix="/v1/audit", tags=["audit"])


@router.get("")
async def entries(
    parts: PartsOf,
    caller: CallerOf,
    task_id: Annotated[TaskId | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    cursor: Annotated[str | None, Query(pattern=r"^[0-9]{1,18}$")] = None,
) -> Trail:
    """Your events and those of your tasks, oldest first."""
    parts.require_bus()
    after = -1 if cursor is None else int(cursor)
    found = await parts.bus.ask(AskTrail(owner=caller.owner, task_id=task_id, after=after, limit=limit))
    following = None if found.next_after is None else str(found.next_after)
    return Trail(entries=[shown(entry) for entry in found.entries], next_cursor=following)


@router.get("/checkpoint")
async def checkpoint(parts: PartsOf, _caller: CallerOf) -> SignedCheckpoint:
    """The newest signed checkpoint, to verify the trail against."""
    parts.require_bus()
    found = await parts.bus.ask(AskCheckpoint())
    return SignedCheckpoint(note=found.note)
