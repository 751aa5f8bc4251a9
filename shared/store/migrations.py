"""Applies `supabase/migrations/*.sql` and keeps the history where the Supabase CLI keeps it, so that either can go on from the other.

A file that was applied never changes: what stands in the history must be what stands on disk, or nothing is applied at all.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import structlog

from shared.store.database import Connection
from shared.store.errors import MigrationsRefused

log = structlog.get_logger(__name__)

_FILE_NAME = re.compile(r"(?P<version>[0-9]{14})_(?P<name>[a-z0-9_]+)\.sql")
_LOCK = 0x6D69677261746521  # "migrate!"
# As the Supabase CLI creates it (supabase/cli, pkg/migration/history.go).
_HISTORY = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (version text not null primary key);
alter table supabase_migrations.schema_migrations add column if not exists statements text[];
alter table supabase_migrations.schema_migrations add column if not exists name text;
"""


@dataclass(frozen=True)
class Migration:
    """One file."""

    version: str
    name: str
    sql: str


def load(directory: Path) -> list[Migration]:
    """The migrations of a directory in the order of their versions. Raises MigrationsRefused for a wrong name or a version twice."""
    migrations: list[Migration] = []
    for path in sorted(directory.glob("*.sql")):
        named = _FILE_NAME.fullmatch(path.name)
        if named is None:
            raise MigrationsRefused(f"{path.name} is not <14 digits>_<name>.sql")
        migrations.append(Migration(named["version"], named["name"], path.read_text()))
    versions = [migration.version for migration in migrations]
    if len(set(versions)) != len(versions):
        raise MigrationsRefused("two migrations have one version")
    return migrations


async def migrate(connection: Connection, directory: Path) -> list[str]:
    """Apply what is missing, each file in a transaction of its own; gives the versions applied.

    Only one caller at a time does this; the others wait, then find nothing to do. Raises MigrationsRefused before anything is
    changed when an applied file changed or is missing, or a new one is older than an applied one.
    """
    migrations = load(directory)
    await connection.execute("select pg_advisory_lock($1)", _LOCK, timeout=600)
    try:
        await connection.execute(_HISTORY)
        pending = _pending(migrations, await _applied(connection))
        for migration in pending:
            await _apply(connection, migration)
        return [migration.version for migration in pending]
    finally:
        if not connection.is_closed():
            await connection.execute("select pg_advisory_unlock($1)", _LOCK)


async def _applied(connection: Connection) -> dict[str, list[str] | None]:
    rows = await connection.fetch("select version, statements from supabase_migrations.schema_migrations")
    return {row["version"]: row["statements"] for row in rows}


def _pending(migrations: list[Migration], applied: dict[str, list[str] | None]) -> list[Migration]:
    known = {migration.version: migration for migration in migrations}
    if missing := sorted(set(applied) - set(known)):
        raise MigrationsRefused(f"the database has migrations that are not here: {', '.join(missing)}; this is an older checkout")
    for version, statements in applied.items():
        if statements is not None and _essence("".join(statements)) != _essence(known[version].sql):
            raise MigrationsRefused(f"migration {version} was changed after it was applied; add a new one instead")
    pending = [migration for migration in migrations if migration.version not in applied]
    if pending and applied and pending[0].version < max(applied):
        raise MigrationsRefused(f"migration {pending[0].version} is older than {max(applied)}, which is applied; give it a newer version")
    return pending


def _essence(sql: str) -> str:
    """The text without what the Supabase CLI drops when it splits a file: white space around statements and the semicolons between."""
    return re.sub(r"[\s;]+", "", sql)


async def _apply(connection: Connection, migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute(migration.sql, timeout=3600)
        await connection.execute(
            "insert into supabase_migrations.schema_migrations (version, name, statements) values ($1, $2, $3)",
            migration.version,
            migration.name,
            [migration.sql],
        )
    log.info("migration_applied", version=migration.version, name=migration.name)
