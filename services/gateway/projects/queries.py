"""The SQL of projects. Each statement names the owner; row-level security would hold without that."""

import json
from typing import Any

from asyncpg import Record

from services.gateway.agent_options import AgentDefaults
from services.gateway.paging import Window
from services.gateway.projects.schemas import NewProject, Project
from services.gateway.rows import uuid
from shared.events.ids import OwnerId, ProjectId
from shared.events.values import AgentName, Ecosystem, PublishPolicy
from shared.store.database import Connection

_COLUMNS = "id, name, publish_policy, protected_paths, allow_packages, agent_defaults, environment_digest, created_at"


async def insert(connection: Connection, owner: OwnerId, project_id: ProjectId, new: NewProject) -> Project:
    """Store a project."""
    row = await connection.fetchrow(
        f"""insert into gateway.projects (id, owner, name, publish_policy, protected_paths, allow_packages, agent_defaults)
            values ($1, $2, $3, $4, $5, $6, $7::jsonb) returning {_COLUMNS}""",  # noqa: S608 - constants
        uuid(project_id),
        uuid(owner),
        new.name,
        new.publish_policy,
        list(new.protected_paths),
        list(new.allow_packages),
        json.dumps({agent: _document(defaults) for agent, defaults in new.agent_defaults.items()}),
    )
    assert row is not None  # noqa: S101 - an insert returns its row
    return _project(row)


async def get(connection: Connection, owner: OwnerId, project_id: ProjectId, *, share: bool = False) -> Project | None:
    """The owner's project of this id; where `share`, what `lock` protects stays as it is until the transaction ends."""
    row = await connection.fetchrow(
        f"select {_COLUMNS} from gateway.projects where owner = $1 and id = $2 {'for key share' if share else ''}",  # noqa: S608
        uuid(owner),
        uuid(project_id),
    )
    return None if row is None else _project(row)


async def lock(connection: Connection, owner: OwnerId, project_id: ProjectId) -> bool:
    """Whether it is the owner's; then nobody else changes it, or hands in a task of it, until the transaction ends."""
    query = "select 1 from gateway.projects where owner = $1 and id = $2 for update"
    return await connection.fetchval(query, uuid(owner), uuid(project_id)) is not None


async def allow(connection: Connection, owner: OwnerId, project_id: ProjectId, packages: tuple[Ecosystem, ...]) -> Project | None:
    """Whose packages the project's tasks may read from now on; None where the owner has no such project."""
    row = await connection.fetchrow(
        f"update gateway.projects set allow_packages = $3 where owner = $1 and id = $2 returning {_COLUMNS}",  # noqa: S608 - constants
        uuid(owner),
        uuid(project_id),
        list(packages),
    )
    return None if row is None else _project(row)


async def page(connection: Connection, owner: OwnerId, window: Window) -> list[Project]:
    """The owner's projects, newest first."""
    rows = await connection.fetch(
        f"""select {_COLUMNS} from gateway.projects
            where owner = $1 and ($2::timestamptz is null or (created_at, id) < ($2, $3::uuid))
            order by created_at desc, id desc limit $4""",  # noqa: S608
        uuid(owner),
        window.created_at,
        uuid(window.id),
        window.fetch,
    )
    return [_project(row) for row in rows]


async def set_agent_defaults(
    connection: Connection, owner: OwnerId, project_id: ProjectId, agent: AgentName, defaults: AgentDefaults
) -> Project | None:
    """Store how an agent works in the project where a task does not say; gives the project, None where it is not the owner's."""
    row = await connection.fetchrow(
        f"""update gateway.projects set agent_defaults = agent_defaults || $3::jsonb where owner = $1 and id = $2
            returning {_COLUMNS}""",  # noqa: S608 - constants
        uuid(owner),
        uuid(project_id),
        json.dumps({agent: _document(defaults)}),
    )
    return None if row is None else _project(row)


def _document(defaults: AgentDefaults) -> dict[str, Any]:
    return defaults.model_dump(mode="json", exclude_none=True)


def _project(row: Record) -> Project:
    return Project(
        id=ProjectId(str(row["id"])),
        name=row["name"],
        publish_policy=PublishPolicy(row["publish_policy"]),
        protected_paths=row["protected_paths"],
        allow_packages=[Ecosystem(name) for name in row["allow_packages"]],
        # An older row may hold what this version does not know.
        agent_defaults={
            agent: AgentDefaults.model_validate(defaults, extra="ignore") for agent, defaults in json.loads(row["agent_defaults"]).items()
        },
        environment_digest=row["environment_digest"],
        created_at=row["created_at"],
    )
