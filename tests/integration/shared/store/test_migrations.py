"""One history, never rewritten."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from shared.store.errors import MigrationsRefused
from shared.store.migrations import migrate
from tests.servers.postgres import PostgresServer

_FIRST = "20260101000000_first.sql"
_SECOND = "20260102000000_second.sql"


@pytest.fixture
async def empty(postgres: PostgresServer) -> AsyncIterator[Any]:
    await postgres.execute("create database migrations_test template template0")
    connection = await postgres.connect("migrations_test")
    yield connection
    await connection.close()
    await postgres.execute("drop database migrations_test")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / _FIRST).write_text("create table one (id int);\n\ncreate table two (id int);\n")
    return tmp_path


async def test_what_is_missing_is_applied_once_and_recorded_as_the_supabase_cli_does(empty: Any, directory: Path) -> None:
    assert await migrate(empty, directory) == ["20260101000000"]
    (directory / _SECOND).write_text("create table three (id int);")
    assert await migrate(empty, directory) == ["20260102000000"]
    assert await migrate(empty, directory) == []
    rows = await empty.fetch("select version, name, statements from supabase_migrations.schema_migrations order by version")
    assert [(row["version"], row["name"]) for row in rows] == [("20260101000000", "first"), ("20260102000000", "second")]
    assert all(isinstance(row["statements"], list) for row in rows)


async def test_a_history_written_by_the_supabase_cli_is_the_same_history(empty: Any, directory: Path) -> None:
    await migrate(empty, directory)
    as_the_cli_splits = ["create table one (id int)", "create table two (id int)"]
    await empty.execute("update supabase_migrations.schema_migrations set statements = $1", as_the_cli_splits)
    assert await migrate(empty, directory) == []


async def test_a_changed_file_is_refused(empty: Any, directory: Path) -> None:
    await migrate(empty, directory)
    (directory / _FIRST).write_text("create table one (id bigint);")
    with pytest.raises(MigrationsRefused, match="changed"):
        await migrate(empty, directory)


async def test_a_missing_file_is_refused(empty: Any, directory: Path) -> None:
    await migrate(empty, directory)
    (directory / _FIRST).unlink()
    with pytest.raises(MigrationsRefused, match="not here"):
        await migrate(empty, directory)


async def test_a_new_file_before_an_applied_one_is_refused(empty: Any, directory: Path) -> None:
    await migrate(empty, directory)
    (directory / "20250101000000_late.sql").write_text("select 1;")
    with pytest.raises(MigrationsRefused, match="older"):
        await migrate(empty, directory)


async def test_a_file_that_fails_leaves_nothing_of_itself_and_all_before_it(empty: Any, directory: Path) -> None:
    (directory / _SECOND).write_text("create table three (id int); select 1/0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(empty, directory)
    assert await empty.fetchval("select to_regclass('two') is not null and to_regclass('three') is null")
    (directory / _SECOND).write_text("create table three (id int);")
    assert await migrate(empty, directory) == ["20260102000000"]


async def test_two_at_once_apply_each_file_once(empty: Any, directory: Path, postgres: PostgresServer) -> None:
    other = await postgres.connect("migrations_test")
    try:
        results = await asyncio.gather(migrate(empty, directory), migrate(other, directory))
    finally:
        await other.close()
    assert sorted(results) == [[], ["20260101000000"]]


async def test_a_file_with_another_name_is_refused(empty: Any, directory: Path) -> None:
    (directory / "fix.sql").write_text("select 1;")
    with pytest.raises(MigrationsRefused, match=r"fix\.sql"):
        await migrate(empty, directory)
