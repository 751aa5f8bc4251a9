"""`/v1/projects/{project_id}/environment`."""

from fnmatch import fnmatchcase

from fastapi import APIRouter, status

from services.gateway.environments import queries
from services.gateway.environments.schemas import EnvironmentDetail, NewEnvironment, detail
from services.gateway.errors import NotFound, invalid
from services.gateway.identity import claims
from services.gateway.parts import CallerOf, Parts, PartsOf
from services.gateway.projects import queries as projects
from shared.events import envelope
from shared.events.environments import Environment
from shared.events.facts import ProjectChanged
from shared.events.ids import OwnerId, ProjectId, Sha256
from shared.store.database import Connection

router = APIRouter(prefix="/v1/projects/{project_id}/environment", tags=["projects"])


@router.get("")
async def get(parts: PartsOf, caller: CallerOf, project_id: ProjectId) -> EnvironmentDetail:
    """The environment of a project's tasks. 404 where it has none."""
    async with parts.database.transaction(claims(caller.owner)) as connection:
        version = await queries.current(connection, caller.owner, project_id)
    if version is None:
        raise NotFound
    return detail(version.digest, version.environment)


@router.put("")
async def put(parts: PartsOf, caller: CallerOf, project_id: ProjectId, wanted: NewEnvironment) -> EnvironmentDetail:
    """What the sandboxes of tasks handed in from then on hold beside the repository; what was said before is replaced."""
    _check_image(parts, wanted.image)
    environment = Environment(**dict(wanted))
    async with parts.database.transaction(claims(caller.owner)) as connection:
        before = await _held(connection, caller.owner, project_id)
        version = await queries.put(connection, caller.owner, project_id, environment)
        if version.digest != before:
            await _tell(parts, connection, caller.owner, project_id)
    return detail(version.digest, version.environment)


@router.delete("", status_code=status.HTTP_204_NO_CONTENT)
async def delete(parts: PartsOf, caller: CallerOf, project_id: ProjectId) -> None:
    """Tasks handed in from then on have the repository alone."""
    async with parts.database.transaction(claims(caller.owner)) as connection:
        before = await _held(connection, caller.owner, project_id)
        await queries.clear(connection, caller.owner, project_id)
        if before is not None:
            await _tell(parts, connection, caller.owner, project_id)


async def _held(connection: Connection, owner: OwnerId, project_id: ProjectId) -> Sha256 | None:
    """The digest of the environment that the project has; nobody else changes the project until the transaction ends. Raises NotFound."""
    if not await projects.lock(connection, owner, project_id):
        raise NotFound
    version = await queries.current(connection, owner, project_id)
    return None if version is None else version.digest


async def _tell(parts: Parts, connection: Connection, owner: OwnerId, project_id: ProjectId) -> None:
    project = await projects.get(connection, owner, project_id)
    version = await queries.current(connection, owner, project_id)
    packages = () if project is None else tuple(project.allow_packages)
    fact = ProjectChanged(project_id=project_id, packages=packages, environment=None if version is None else version.digest)
    await parts.outbox.enqueue(connection, envelope.new(fact, source="gateway", owner=owner))


def _check_image(parts: Parts, image: str | None) -> None:
    allowed = parts.settings.environment_images
    if image is not None and not any(fnmatchcase(image, pattern) for pattern in allowed):
        listed = ", ".join(allowed) or "none"
        raise invalid("body.image", "image_not_allowed", f"projects may name these images here: {listed}")
