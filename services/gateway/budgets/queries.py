"""The SQL of budgets. Each statement names the owner; row-level security would hold without that."""

from dataclasses import dataclass

from services.gateway.rows import uuid
from shared.events.ids import OwnerId, ProjectId
from shared.store.database import Connection


@dataclass(frozen=True, slots=True)
class Stored:
    """What is set, and how often it was."""

    monthly_usd: float | None
    version: int


async def get(connection: Connection, owner: OwnerId, project_id: ProjectId | None) -> float | None:
    """What the owner set, for a project or for all."""
    return await connection.fetchval(
        "select monthly_usd::double precision from gateway.budgets where owner = $1 and scope = $2", uuid(owner), uuid(project_id or owner)
    )


async def put(connection: Connection, owner: OwnerId, project_id: ProjectId | None, monthly_usd: float | None) -> Stored:
    """Set it; each time has a higher version, by which the scheduler tells them apart."""
    row = await connection.fetchrow(
        """insert into gateway.budgets (owner, scope, monthly_usd) values ($1, $2, $3::double precision::numeric)
           on conflict (owner, scope) do update set monthly_usd = excluded.monthly_usd, version = budgets.version + 1
           returning monthly_usd::double precision, version""",
        uuid(owner),
        uuid(project_id or owner),
        monthly_usd,
    )
    assert row is not None  # noqa: S101 - an insert returns its row
    return Stored(row["monthly_usd"], row["version"])
