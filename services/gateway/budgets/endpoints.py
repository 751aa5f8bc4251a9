"""`/v1/budget` and `/v1/projects/{project_id}/budget`: what a calendar month may cost. The scheduler keeps to it; here it is only said."""

from fastapi import APIRouter

from services.gateway.budgets import queries
from services.gateway.budgets.schemas import MonthlyBudget, NewBudget
from services.gateway.errors import NotFound
from services.gateway.identity import claims
from services.gateway.parts import CallerOf, Parts, PartsOf
from services.gateway.projects import queries as projects
from services.gateway.tokens import Caller
from shared.events import envelope
from shared.events.commands import SchedulerSetBudget
from shared.events.ids import ProjectId
from shared.store.database import Connection

router = APIRouter(prefix="/v1", tags=["budgets"])


@router.get("/budget")
async def get_own(parts: PartsOf, caller: CallerOf) -> MonthlyBudget:
    """What all your tasks together may cost in a calendar month."""
    return await _get(parts, caller, None)


@router.put("/budget")
async def put_own(parts: PartsOf, caller: CallerOf, new: NewBudget) -> MonthlyBudget:
    """Set what all your tasks together may cost in a calendar month. Tasks that wait for it are looked at again."""
    return await _put(parts, caller, None, new)


@router.get("/projects/{project_id}/budget")
async def get_of_project(parts: PartsOf, caller: CallerOf, project_id: ProjectId) -> MonthlyBudget:
    """What a project's tasks may cost in a calendar month."""
    return await _get(parts, caller, project_id)


@router.put("/projects/{project_id}/budget")
async def put_of_project(parts: PartsOf, caller: CallerOf, project_id: ProjectId, new: NewBudget) -> MonthlyBudget:
    """Set what a project's tasks may cost in a calendar month. Tasks that wait for it are looked at again."""
    return await _put(parts, caller, project_id, new)


async def _get(parts: Parts, caller: Caller, project_id: ProjectId | None) -> MonthlyBudget:
    async with parts.database.transaction(claims(caller.owner)) as connection:
        await _check(connection, caller, project_id)
        return MonthlyBudget(project_id=project_id, monthly_usd=await queries.get(connection, caller.owner, project_id))


async def _put(parts: Parts, caller: Caller, project_id: ProjectId | None, new: NewBudget) -> MonthlyBudget:
    async with parts.database.transaction(claims(caller.owner)) as connection:
        await _check(connection, caller, project_id)
        stored = await queries.put(connection, caller.owner, project_id, new.monthly_usd)
        command = SchedulerSetBudget(project_id=project_id, monthly_usd=stored.monthly_usd, version=stored.version)
        await parts.outbox.enqueue(connection, envelope.new(command, source="gateway", owner=caller.owner))
    return MonthlyBudget(project_id=project_id, monthly_usd=stored.monthly_usd)


async def _check(connection: Connection, caller: Caller, project_id: ProjectId | None) -> None:
    if project_id is not None and await projects.get(connection, caller.owner, project_id) is None:
        raise NotFound
