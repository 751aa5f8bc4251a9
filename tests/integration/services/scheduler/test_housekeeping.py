"""What the scheduler forgets of a real database, and what the database does not let it forget."""

import asyncpg
import pytest

from services.scheduler.housekeeping import rules
from services.scheduler.settings import SchedulerSettings
from shared.events.ids import fresh
from shared.store import Database, Inbox, Pruning
from tests.servers.postgres import PostgresDatabase

_INSERT = """
insert into scheduler.tasks (task_id, owner, state, holds_slot, data, created_at, updated_at)
values ($1, $2, $3, false, '{}', now() - make_interval(days => $4), now() - make_interval(days => $5))
"""


_TASKS = (("failed", 91, 91), ("succeeded", 200, 100), ("cancelled", 200, 89), ("queued", 200, 200), ("failed", 46, 46))
"""State, and how many days ago it began and last changed."""


async def test_only_tasks_that_ended_long_ago_go(database: PostgresDatabase) -> None:
    admin, store = await database.connect(), await Database.open(database.settings("scheduler"))
    made: dict[tuple[str, int], str] = {}
    for state, begun, ended in _TASKS:
        made[state, begun] = fresh()
        await admin.execute(_INSERT, str(made[state, begun]), str(fresh()), state, begun, ended)
    pruning = Pruning(store, "scheduler", rules(SchedulerSettings(), Inbox("scheduler")))
    assert (await pruning.once())["scheduler.tasks"] == 2
    left = {str(row["task_id"]) for row in await admin.fetch("select task_id from scheduler.tasks")}
    assert left == {made["cancelled", 200], made["queued", 200], made["failed", 46]}
    for young in ("state = 'queued'", "state = 'failed' and updated_at > now() - interval '45 days'"):
        await admin.execute(_INSERT, str(fresh()), str(fresh()), "failed", 44, 44)
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="may still be told of"):
            async with store.transaction() as connection:
                await connection.execute(f"delete from scheduler.tasks where {young}")  # noqa: S608
    await store.close()
    await admin.close()


def test_a_setting_can_keep_them() -> None:
    settings = SchedulerSettings(keep_tasks_days=None)
    assert [rule.table for rule in rules(settings, Inbox("scheduler"))] == ["scheduler.inbox", "scheduler.spending"]
    with pytest.raises(ValueError, match="keep_tasks_days"):
        SchedulerSettings(keep_tasks_days=44)
