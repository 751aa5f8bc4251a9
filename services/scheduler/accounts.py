"""What runs have cost in each calendar month (UTC), and what people and the operator let them cost. It must never decide anything.

One row per attempt, so that what an attempt tells of itself counts once; it counts in the month in which it was last heard of.
"""

from datetime import UTC, date, datetime

from services.scheduler.purse import Flow, Purse
from services.scheduler.settings import Budgets
from services.scheduler.task import Task
from shared.events.commands import SchedulerSetBudget
from shared.events.envelope import AnyEnvelope
from shared.events.ids import OwnerId, ProjectId
from shared.store.database import Connection

_NOTE = """
insert into scheduler.spending (run_id, fence, owner, project_id, month, usd) values ($1, $2, $3, $4, $5, $6::double precision::numeric)
on conflict (run_id, fence) do update set usd = excluded.usd, month = excluded.month, heard_at = now() where spending.usd < excluded.usd
"""
_SET = """
insert into scheduler.budgets (owner, project_id, monthly_usd, version) values ($1, $2, $3::double precision::numeric, $4)
on conflict (owner, project_id) do update set monthly_usd = excluded.monthly_usd, version = excluded.version, set_at = now()
where budgets.version < excluded.version
"""
_BUDGETS = "select project_id, monthly_usd::double precision from scheduler.budgets where owner = $1 and monthly_usd is not null"
# One statement, and so one snapshot: a run's end moves its cost from the promised to the spent.
_FLOWS = """
with spent as (select project_id, sum(usd) as usd from scheduler.spending where owner = $1 and month = $2 group by project_id),
promised as (
    select project_id, sum(promised_usd) as usd from scheduler.tasks
    where owner = $1 and holds_slot and promised_usd > 0 group by project_id
)
select coalesce(spent.project_id, promised.project_id) as project_id,
    coalesce(spent.usd, 0)::double precision as spent_usd, coalesce(promised.usd, 0)::double precision as promised_usd
from spent full join promised on spent.project_id = promised.project_id
"""


def month_of(moment: datetime) -> date:
    """The first day of its month in UTC."""
    return moment.astimezone(UTC).date().replace(day=1)


async def note(connection: Connection, task: Task, message: AnyEnvelope, usd: float) -> None:
    """What an attempt has cost by now, also where its task is over."""
    if task.order is None:
        return
    attempt = (str(message.data.run_id), message.data.fence, str(task.owner), str(task.order.project_id))
    await connection.execute(_NOTE, *attempt, month_of(message.time), usd)


async def set_budget(connection: Connection, owner: OwnerId, command: SchedulerSetBudget) -> None:
    """Store a budget, unless a newer one is stored. The owner's own stands under the owner's id."""
    await connection.execute(_SET, str(owner), str(command.project_id or owner), command.monthly_usd, command.version)


async def purse(connection: Connection, owner: OwnerId, defaults: Budgets, now: datetime) -> Purse:
    """The owner's month. To be read under the lock of the owner's slots, so that what it says is promised once."""
    rows = {str(row["project_id"]): row["monthly_usd"] for row in await connection.fetch(_BUDGETS, str(owner))}
    user_usd = rows.pop(str(owner), defaults.user_budget_usd)
    limits = Purse(user_usd, defaults.project_budget_usd, {ProjectId(project_id): usd for project_id, usd in rows.items()})
    if not limits.bounded:
        return limits
    flows = {
        ProjectId(str(row["project_id"])): Flow(row["spent_usd"], row["promised_usd"])
        for row in await connection.fetch(_FLOWS, str(owner), month_of(now))
    }
    return Purse(limits.user_usd, limits.project_usd, limits.projects_usd, flows)
