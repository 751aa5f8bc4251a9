"""The SQL of credentials. Each statement names the owner; row-level security would hold without that."""

from collections.abc import Sequence

from asyncpg import Record

from services.gateway.credentials.schemas import Credential, NewCredential
from services.gateway.paging import Window
from services.gateway.rows import uuid
from shared.events.ids import CredentialId, OwnerId, ProjectId, TaskId
from shared.events.values import Purpose
from shared.store.database import Connection

_COLUMNS = "id, purpose, host, vendor, base_url, project_id, label, version, created_at"


async def insert(
    connection: Connection, owner: OwnerId, credential_id: CredentialId, new: NewCredential, *, version: int, key_id: str, sealed: bytes
) -> Credential:
    """Store a sealed credential."""
    row = await connection.fetchrow(
        f"""insert into gateway.credentials (id, owner, project_id, purpose, host, vendor, label, version, key_id, sealed, base_url)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) returning {_COLUMNS}""",  # noqa: S608 - constants
        uuid(credential_id),
        uuid(owner),
        uuid(new.project_id),
        new.purpose,
        new.host,
        new.vendor,
        new.label or "",
        version,
        key_id,
        sealed,
        new.base_url,
    )
    assert row is not None  # noqa: S101 - an insert returns its row
    return _credential(row)


async def page(connection: Connection, owner: OwnerId, window: Window) -> list[Credential]:
    """The owner's credentials, newest first."""
    rows = await connection.fetch(
        f"""select {_COLUMNS} from gateway.credentials
            where owner = $1 and ($2::timestamptz is null or (created_at, id) < ($2, $3::uuid))
            order by created_at desc, id desc limit $4""",  # noqa: S608
        uuid(owner),
        window.created_at,
        uuid(window.id),
        window.fetch,
    )
    return [_credential(row) for row in rows]


async def delete(connection: Connection, owner: OwnerId, credential_id: CredentialId) -> bool:
    """Forget a credential; whether there was one."""
    return (
        await connection.execute("delete from gateway.credentials where owner = $1 and id = $2", uuid(owner), uuid(credential_id))
        == "DELETE 1"
    )


async def named(connection: Connection, owner: OwnerId, credential_ids: Sequence[CredentialId]) -> dict[CredentialId, Credential]:
    """Those of these credentials that are the owner's."""
    rows = await connection.fetch(
        f"select {_COLUMNS} from gateway.credentials where owner = $1 and id = any($2::uuid[])",  # noqa: S608
        uuid(owner),
        [uuid(credential_id) for credential_id in credential_ids],
    )
    return {credential.id: credential for credential in map(_credential, rows)}


async def newest_git_token(connection: Connection, owner: OwnerId, project_id: ProjectId, host: str) -> Credential | None:
    """The newest token stored for exactly this host; the project's own goes first."""
    return await _newest(connection, owner, project_id, Purpose.GIT_TOKEN, column="host", value=host)


async def newest_model_key(connection: Connection, owner: OwnerId, project_id: ProjectId, vendor: str) -> Credential | None:
    """The newest key of this vendor; the project's own goes first."""
    return await _newest(connection, owner, project_id, Purpose.MODEL_KEY, column="vendor", value=vendor)


async def _newest(
    connection: Connection, owner: OwnerId, project_id: ProjectId, purpose: Purpose, *, column: str, value: str
) -> Credential | None:
    row = await connection.fetchrow(
        f"""select {_COLUMNS} from gateway.credentials
            where owner = $1 and purpose = $3 and {column} = $4 and (project_id is null or project_id = $2)
            order by project_id is null, created_at desc, id desc limit 1""",  # noqa: S608 - the column is one of two constants
        uuid(owner),
        uuid(project_id),
        purpose,
        value,
    )
    return None if row is None else _credential(row)


async def sealed_for_task(
    connection: Connection, owner: OwnerId, task_id: TaskId, credential_id: CredentialId, version: int
) -> tuple[Purpose, bytes, str | None] | None:
    """The sealed value of a credential that the owner's task named, in the version it named, and the address it was stored for."""
    row = await connection.fetchrow(
        """select c.purpose, c.sealed, c.base_url from gateway.credentials c
           join gateway.task_credentials t on t.owner = c.owner and t.credential_id = c.id and t.version = c.version
           where c.owner = $1 and t.task_id = $2 and c.id = $3 and c.version = $4""",
        uuid(owner),
        uuid(task_id),
        uuid(credential_id),
        version,
    )
    return None if row is None else (Purpose(row["purpose"]), row["sealed"], row["base_url"])


def _credential(row: Record) -> Credential:
    return Credential(
        id=CredentialId(str(row["id"])),
        purpose=Purpose(row["purpose"]),
        host=row["host"],
        vendor=row["vendor"],
        base_url=row["base_url"],
        project_id=row["project_id"] and ProjectId(str(row["project_id"])),
        label=row["label"] or None,
        version=row["version"],
        created_at=row["created_at"],
    )
