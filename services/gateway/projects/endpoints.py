"""`/v1/projects`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response, status

from services.gateway import agent_options, agents
from services.gateway.agent_options import AgentDefaults
from services.gateway.errors import NotFound, invalid
from services.gateway.identity import claims
from services.gateway.paging import Page, Window, window
from services.gateway.parts import CallerOf, Parts, PartsOf
from services.gateway.projects import queries
from services.gateway.projects.schemas import NewProject, Project, ProjectChange
from shared.events import envelope, ids
from shared.events.facts import ProjectChanged, ProjectCreated
from shared.events.ids import ProjectId
from shared.events.values import AgentName, Ecosystem

router = APIRouter(prefix="/v1/projects", tags=["projects"])


@router.post("", status_code=status.HTTP_201_CREATED)
async def create(parts: PartsOf, caller: CallerOf, new: NewProject, response: Response) -> Project:
    """Make a project."""
    for agent, defaults in new.agent_defaults.items():
        _check(parts, agent, defaults, f"body.agent_defaults.{agent}")
    _check_packages(parts, new.allow_packages)
    project_id = ProjectId(ids.fresh())
    async with parts.database.transaction(claims(caller.owner)) as connection:
        project = await queries.insert(connection, caller.owner, project_id, new)
        fact = envelope.new(ProjectCreated(project_id=project_id), source="gateway", owner=caller.owner)
        await parts.outbox.enqueue(connection, fact)
    response.headers["Location"] = f"/v1/projects/{project_id}"
    return project


@router.get("")
async def page(parts: PartsOf, caller: CallerOf, part: Annotated[Window, Depends(window)]) -> Page[Project]:
    """Your projects, newest first."""
    async with parts.database.transaction(claims(caller.owner)) as connection:
        found = await queries.page(connection, caller.owner, part)
    return Page(items=found[: part.limit], next_cursor=part.next_cursor([(row.created_at, row.id) for row in found]))


@router.get("/{project_id}")
async def get(parts: PartsOf, caller: CallerOf, project_id: ProjectId) -> Project:
    """One project."""
    async with parts.database.transaction(claims(caller.owner)) as connection:
        project = await queries.get(connection, caller.owner, project_id)
    if project is None:
        raise NotFound
    return project


@router.patch("/{project_id}")
async def change(parts: PartsOf, caller: CallerOf, project_id: ProjectId, wanted: ProjectChange) -> Project:
    """Change what the tasks handed in from now on are allowed."""
    _check_packages(parts, wanted.allow_packages or ())
    async with parts.database.transaction(claims(caller.owner)) as connection:
        project = await queries.get(connection, caller.owner, project_id)
        if project is not None and wanted.allow_packages is not None:
            project = await queries.allow(connection, caller.owner, project_id, wanted.allow_packages)
            fact = ProjectChanged(
                project_id=project_id, packages=wanted.allow_packages, environment=None if project is None else project.environment_digest
            )
            await parts.outbox.enqueue(connection, envelope.new(fact, source="gateway", owner=caller.owner))
    if project is None:
        raise NotFound
    return project


@router.put("/{project_id}/agent-defaults/{agent}")
async def set_agent_defaults(parts: PartsOf, caller: CallerOf, project_id: ProjectId, agent: AgentName, defaults: AgentDefaults) -> Project:
    """How an agent works in this project where a task does not say; what was said for it before is replaced."""
    _check(parts, agent, defaults, "body")
    async with parts.database.transaction(claims(caller.owner)) as connection:
        project = await queries.set_agent_defaults(connection, caller.owner, project_id, agent, defaults)
    if project is None:
        raise NotFound
    return project


def _check(parts: Parts, name: AgentName, defaults: AgentDefaults, where: str) -> None:
    agent_options.check(defaults, agents.named(parts.settings.agents, name, where), where)
    ceiling = parts.settings.max_limits.max_turns
    if defaults.max_turns is not None and defaults.max_turns > ceiling:
        raise invalid(f"{where}.max_turns", "over_ceiling", f"must be at most {ceiling} here")


def _check_packages(parts: Parts, wanted: tuple[Ecosystem, ...]) -> None:
    if missing := [ecosystem for ecosystem in wanted if ecosystem not in parts.settings.packages]:
        served = ", ".join(sorted(parts.settings.packages)) or "none"
        raise invalid(
            "body.allow_packages", "not_served", f"this deployment serves no packages of {', '.join(missing)}; it serves: {served}"
        )
