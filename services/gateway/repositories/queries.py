"""The SQL of repositories. Each statement names the owner; row-level security would hold without that."""

from asyncpg import Record

from services.gateway.repositories.schemas import NewRepository, Repository
from services.gateway.rows import uuid
from shared.events.ids import OwnerId, ProjectId, RepositoryId
from shared.store.database import Connection

_COLUMNS = "id, project_id, url, host, default_base_ref, created_at"
MAX_PER_PROJECT = 100


async def insert(
    connection: Connection, owner: OwnerId, project_id: ProjectId, repository_id: RepositoryId, new: NewRepository, *, host: str
) -> Repository:
    """Store a repository. The project must be the owner's."""
    row = await connection.fetchrow(
        f"""insert into gateway.repositories (id, owner, project_id, url, host, default_base_ref)
            values ($1, $2, $3, $4, $5, $6) returning {_COLUMNS}""",  # noqa: S608 - constants
        uuid(repository_id),
        uuid(owner),
        uuid(project_id),
        new.url,
        host,
        new.default_base_ref,
    )
    assert row is not None  # noqa: S101 - an insert returns its row
    return _repository(row)


async def of_project(connection: Connection, owner: OwnerId, project_id: ProjectId) -> list[Repository]:
    """The project's repositories, oldest first."""
    rows = await connection.fetch(
        f"select {_COLUMNS} from gateway.repositories where owner = $1 and project_id = $2 order by created_at, id limit $3",  # noqa: S608
        uuid(owner),
        uuid(project_id),
        MAX_PER_PROJECT,
    )
    return [_repository(row) for row in rows]


def _repository(row: Record) -> Repository:
    return Repository(
        id=RepositoryId(str(row["id"])),
        project_id=ProjectId(str(row["project_id"])),
        url=row["url"],
        host=row["host"],
        default_base_ref=row["default_base_ref"],
        created_at=row["created_at"],
    )
