"""What the gateway forgets of a real database, whoever it belongs to, and that nothing else is seen or deleted on the way."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.gateway.housekeeping import rules
from services.gateway.settings import Settings
from shared.events.ids import fresh
from shared.store import Database, Pruning
from tests.servers.postgres import PostgresDatabase, database, postgres

__all__ = ["database", "postgres"]

_TASK = """
with project as (insert into gateway.projects (id, owner, name) values ($1, $2, 'p') returning id),
repository as (insert into gateway.repositories (id, owner, project_id, url, host) select $1, $2, id, 'https://x', 'x' from project),
task as (insert into gateway.tasks (id, owner, project_id, repository_id, agent, title, branch, limits, state, created_at, updated_at)
    select $1, $2, id, $1, 'shell', 't', 'b', '{}', $3, now() - interval '99 days', now() - make_interval(days => $4) from project)
insert into gateway.prompts (task_id, owner, prompt, salt) values ($1, $2, 'secret', '0123456789abcdef')
"""
_KEY = """
insert into gateway.idempotency_keys (owner, key, request_digest, created_at) values ($1, 'k', '', now() - make_interval(hours => $2))
"""
_TOKEN = """
insert into gateway.api_tokens (id, owner, name, prefix, digest, scopes, expires_at, revoked_at)
values ($1::uuid, $1, 'n', 'acp_abcd', sha256($1::text::bytea), '{admin}',
    now() - make_interval(days => $2), now() - make_interval(days => $3))
"""
_COUNT = "select (select count(*) from gateway.tasks) + (select count(*) from gateway.idempotency_keys)"


def settings(**more: Any) -> Settings:
    return Settings(
        auth_issuer="http://x", auth_jwks_url="http://x", git_public_key_file=Path("/x"), egress_public_key_file=Path("/x"), **more
    )


@pytest.fixture
async def store(database: PostgresDatabase) -> AsyncIterator[Database]:
    admin = await database.connect()
    for state, days in (("succeeded", 31), ("failed", 29), ("running", 90)):
        await admin.execute(_TASK, str(fresh()), str(fresh()), state, days)
    for hours in (23, 25, 1000):
        await admin.execute(_KEY, str(fresh()), hours)
    await admin.close()
    opened = await Database.open(database.settings("gateway"))
    yield opened
    await opened.close()


async def test_tasks_are_kept_unless_the_operator_says_how_long(store: Database) -> None:
    assert await Pruning(store, "gateway", rules(settings())).once() == {"gateway.idempotency_keys": 2, "gateway.api_tokens": 0}


async def test_an_api_token_is_shown_for_a_month_after_its_end(store: Database, database: PostgresDatabase) -> None:
    admin = await database.connect()
    for expired, revoked in ((31, None), (29, None), (-300, 31), (-300, 29), (-300, None)):
        await admin.execute(_TOKEN, str(fresh()), expired, revoked)
    pruned = await Pruning(store, "gateway", rules(settings())).once()
    assert pruned["gateway.api_tokens"] == 2
    assert await admin.fetchval("select count(*) from gateway.api_tokens where ended_at > now() - interval '30 days'") == 3
    await admin.close()


async def test_a_task_goes_with_everything_somebody_wrote(store: Database, database: PostgresDatabase) -> None:
    pruned = await Pruning(store, "gateway", rules(settings(keep_tasks_days=30))).once()
    assert pruned == {"gateway.idempotency_keys": 2, "gateway.api_tokens": 0, "gateway.tasks": 1}
    admin = await database.connect()
    assert {row["state"] for row in await admin.fetch("select state from gateway.tasks")} == {"failed", "running"}
    assert await admin.fetchval("select count(*) from gateway.prompts") == 2
    assert await admin.fetchval("select count(*) from gateway.projects") == 3
    await admin.close()


async def test_only_who_says_that_it_prunes_sees_what_is_old_and_may_change_nothing(store: Database) -> None:
    async with store.transaction() as connection:
        assert await connection.fetchval(_COUNT) == 0
        assert await connection.execute("delete from gateway.tasks") == "DELETE 0"
        await connection.execute("select set_config('gateway.prunes', 'on', true)")
        assert await connection.fetchval(_COUNT) == 5  # of six rows: not the task that runs
        assert await connection.fetchval("select count(*) from gateway.prompts") == 0
        assert await connection.execute("update gateway.tasks set state = 'failed'") == "UPDATE 0"
    async with store.transaction() as connection:
        assert await connection.fetchval(_COUNT) == 0
