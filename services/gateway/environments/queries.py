"""The SQL of environments. Each statement names the owner; row-level security would hold without that."""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final

from services.gateway.rows import uuid
from shared.events.environments import Environment
from shared.events.ids import OwnerId, ProjectId, Sha256, TaskId
from shared.store.database import Connection

_SALT_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a project's environment."""

    digest: Sha256
    environment: Environment


async def current(connection: Connection, owner: OwnerId, project_id: ProjectId) -> Version | None:
    """The one that tasks handed in now get."""
    row = await connection.fetchrow(
        """select e.digest, e.document from gateway.environments e
           join gateway.projects p on p.owner = e.owner and p.id = e.project_id and p.environment_digest = e.digest
           where e.owner = $1 and e.project_id = $2""",
        uuid(owner),
        uuid(project_id),
    )
    return None if row is None else Version(row["digest"], _environment(row["document"]))


async def of_task(connection: Connection, owner: OwnerId, task_id: TaskId) -> Environment | None:
    """The one that held when the task was handed in."""
    document = await connection.fetchval(
        """select e.document from gateway.environments e
           join gateway.tasks t on t.owner = e.owner and t.project_id = e.project_id and t.environment_digest = e.digest
           where t.owner = $1 and t.id = $2""",
        uuid(owner),
        uuid(task_id),
    )
    return None if document is None else _environment(document)


async def put(connection: Connection, owner: OwnerId, project_id: ProjectId, wanted: Environment) -> Version:
    """Make it the owner's project's, from the next task on. What is there already keeps its digest, and so what was made of it."""
    held = await current(connection, owner, project_id)
    if held is not None and held.environment == wanted:
        return held
    salt, document = secrets.token_bytes(_SALT_BYTES), wanted.model_dump_json()
    version = Version(hashlib.sha256(salt + document.encode()).hexdigest(), wanted)
    await connection.execute(
        "insert into gateway.environments (owner, project_id, digest, salt, document) values ($1, $2, $3, $4, $5::jsonb)",
        uuid(owner),
        uuid(project_id),
        version.digest,
        salt,
        document,
    )
    await _use(connection, owner, project_id, version.digest)
    return version


async def clear(connection: Connection, owner: OwnerId, project_id: ProjectId) -> None:
    """The project has none from the next task on."""
    await _use(connection, owner, project_id, None)


async def _use(connection: Connection, owner: OwnerId, project_id: ProjectId, digest: Sha256 | None) -> None:
    """Versions that no task names go. One that is handed in at the same moment holds the project's row, and is waited for."""
    await connection.execute(
        "update gateway.projects set environment_digest = $3 where owner = $1 and id = $2", uuid(owner), uuid(project_id), digest
    )
    await connection.execute(
        """delete from gateway.environments e where e.owner = $1 and e.project_id = $2 and e.digest is distinct from $3 and not exists (
               select from gateway.tasks t where t.owner = $1 and t.project_id = $2 and t.environment_digest = e.digest)""",
        uuid(owner),
        uuid(project_id),
        digest,
    )


def _environment(document: str) -> Environment:
    # An older row may hold what this version does not know.
    return Environment.model_validate_json(document, extra="ignore")
