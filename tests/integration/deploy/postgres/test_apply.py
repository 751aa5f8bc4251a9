"""A database made ready by `deploy.postgres.apply` is what the services are promised."""

import asyncpg
import pytest

from deploy.postgres import apply
from shared.store.database import Database
from tests.servers.postgres import PostgresDatabase, PostgresServer


async def test_applying_again_changes_nothing_and_every_role_can_still_sign_in(database: PostgresDatabase) -> None:
    assert await apply.apply(database.server.apply_settings(database.name)) == []
    for service in ("gateway", "scheduler", "audit", "audit_reader"):
        opened = await Database.open(database.settings(service))
        await opened.ready()
        await opened.close()


@pytest.mark.parametrize("service", ["gateway", "scheduler", "audit", "audit_reader"])
async def test_a_role_reaches_its_own_schema_alone(database: PostgresDatabase, service: str) -> None:
    connection = await database.connect()
    reached = await connection.fetch(
        "select nspname from pg_namespace where nspname !~ '^pg_' and nspname not in ('information_schema', 'auth') "
        "and has_schema_privilege($1, oid, 'usage')",
        f"async_code_{service}",
    )
    may_create = await connection.fetch(
        "select nspname from pg_namespace where has_schema_privilege($1, oid, 'create')", f"async_code_{service}"
    )
    await connection.close()
    assert [row["nspname"] for row in reached] == [service.removesuffix("_reader")]
    assert may_create == []


async def test_no_role_has_a_right_beyond_signing_in(database: PostgresDatabase) -> None:
    connection = await database.connect()
    rows = await connection.fetch("select * from pg_roles where rolname like 'async_code_%'")
    temporary = await connection.fetchval(
        "select bool_or(has_database_privilege(rolname, current_database(), 'temporary')) from pg_roles where rolname like 'async_code_%'"
    )
    await connection.close()
    assert {row["rolname"] for row in rows} >= set(apply.ROLES)  # other tests' roles, the auth server's for one, are in the same cluster
    for row in rows:
        assert row["rolcanlogin"]
        assert not any(row[right] for right in ("rolsuper", "rolinherit", "rolcreatedb", "rolcreaterole", "rolreplication", "rolbypassrls"))
    assert not temporary


async def test_the_password_is_needed_and_a_wrong_one_is_refused(database: PostgresDatabase) -> None:
    settings = database.settings("gateway")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(settings.url, password="wrong")


async def test_password_files_are_private_and_never_in_the_server_log(postgres: PostgresServer) -> None:
    log = (postgres.directory / "server.log").read_text()
    for role in apply.ROLES:
        path = apply.password_file(postgres.directory / "passwords", role)
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.read_text().strip() not in log
    assert "SCRAM-SHA-256" not in log


async def test_claims_are_what_the_shim_answers_with(database: PostgresDatabase) -> None:
    opened = await Database.open(database.settings("gateway"))
    claims = {"sub": "6b0c2ea1-0b4e-4f0e-9d0a-0a4a2b1d7f11", "role": "authenticated"}
    async with opened.transaction(claims) as connection:
        row = await connection.fetchrow("select auth.uid()::text as uid, auth.role() as role, auth.jwt() ->> 'sub' as sub")
        assert row is not None
        assert dict(row) == {"uid": claims["sub"], "role": "authenticated", "sub": claims["sub"]}
    async with opened.transaction() as connection:
        assert await connection.fetchval("select auth.uid()") is None
    await opened.close()
