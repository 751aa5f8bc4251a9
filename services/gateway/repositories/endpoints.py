"""`/v1/projects/{project_id}/repositories`."""

from fastapi import APIRouter, status

from services.gateway.errors import Conflict, NotFound, invalid
from services.gateway.identity import claims
from services.gateway.paging import Page
from services.gateway.parts import CallerOf, PartsOf
from services.gateway.projects import queries as projects
from services.gateway.repositories import queries
from services.gateway.repositories.schemas import NewRepository, Repository
from services.gateway.repositories.urls import InvalidUrl, host_of
from shared.events import envelope, ids
from shared.events.facts import RepositoryAdded
from shared.events.ids import ProjectId, RepositoryId

router = APIRouter(prefix="/v1/projects/{project_id}/repositories", tags=["repositories"])


@router.post("", status_code=status.HTTP_201_CREATED)
async def create(parts: PartsOf, caller: CallerOf, project_id: ProjectId, new: NewRepository) -> Repository:
    """Add a repository to a project. Only the address's form is checked here; git says the rest when a task goes there."""
    try:
        host = host_of(new.url, parts.settings.allow_repository_schemes)
    except InvalidUrl as error:
        raise invalid("body.url", error.rule, str(error)) from error
    repository_id = RepositoryId(ids.fresh())
    async with parts.database.transaction(claims(caller.owner)) as connection:
        if await projects.get(connection, caller.owner, project_id) is None:
            raise NotFound
        if len(await queries.of_project(connection, caller.owner, project_id)) >= queries.MAX_PER_PROJECT:
            raise Conflict(f"A project has at most {queries.MAX_PER_PROJECT} repositories.")
        repository = await queries.insert(connection, caller.owner, project_id, repository_id, new, host=host)
        fact = RepositoryAdded(project_id=project_id, repository_id=repository_id)
        await parts.outbox.enqueue(connection, envelope.new(fact, source="gateway", owner=caller.owner))
    return repository


@router.get("")
async def page(parts: PartsOf, caller: CallerOf, project_id: ProjectId) -> Page[Repository]:
    """The project's repositories, oldest first; always one page."""
    async with parts.database.transaction(claims(caller.owner)) as connection:
        if await projects.get(connection, caller.owner, project_id) is None:
            raise NotFound
        return Page(items=await queries.of_project(connection, caller.owner, project_id), next_cursor=None)
