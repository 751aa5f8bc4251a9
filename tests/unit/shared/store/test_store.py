"""The parts of the store that need no server."""

from pathlib import Path

import asyncpg
import pytest
from pydantic import ValidationError

from shared.store import Inbox, MigrationsRefused, Outbox, StoreConflict, StoreSettings, StoreUnavailable
from shared.store.errors import translate, translate_connecting, translate_working
from shared.store.migrations import load

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (asyncpg.DeadlockDetectedError(), StoreConflict),
        (asyncpg.SerializationError(), StoreConflict),
        (asyncpg.ConnectionDoesNotExistError(), StoreUnavailable),
        (asyncpg.AdminShutdownError(), StoreUnavailable),
        (asyncpg.CannotConnectNowError(), StoreUnavailable),
        (asyncpg.InterfaceError("connection is closed"), StoreUnavailable),
        (asyncpg.InterfaceError("cannot perform operation: another operation is in progress"), None),
        (asyncpg.UniqueViolationError(), None),
        (FileNotFoundError(), None),
        (TimeoutError(), None),
    ],
)
def test_an_error_means_one_thing(error: Exception, meaning: type[Exception] | None) -> None:
    assert type(translate(error)) is (meaning or type(None))


def test_a_statement_without_end_means_that_the_database_is_away() -> None:
    assert isinstance(translate_working(TimeoutError()), StoreUnavailable)
    assert translate_working(FileNotFoundError()) is None


@pytest.mark.parametrize("error", [ConnectionRefusedError(), TimeoutError(), asyncpg.InvalidPasswordError(), FileNotFoundError()])
def test_whatever_keeps_us_from_connecting_may_pass(error: Exception) -> None:
    assert isinstance(translate_connecting(error), StoreUnavailable)


@pytest.mark.parametrize(
    "url",
    ["postgresql://gateway:hunter2@host/db", "postgresql://gateway@host/db?password=hunter2", "https://host/db", "host=x password=hunter2"],
)
def test_an_address_with_a_password_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        StoreSettings(url=url, password_file=Path("/nowhere"))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("schema", ["public", "gateway; drop schema audit", "audit", ""])
def test_only_a_known_schema_has_an_outbox_and_an_inbox(schema: str) -> None:
    for table in (Outbox, Inbox):
        with pytest.raises(ValueError, match="no schema"):
            table(schema)


def test_the_migrations_in_the_tree_are_well_named_and_in_order() -> None:
    versions = [migration.version for migration in load(ROOT / "supabase" / "migrations")]
    assert versions == sorted(versions)
    assert versions[:2] == ["20261122000100", "20261122000150"]


def test_a_version_twice_is_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"20260101000000_{name}.sql").touch()
    with pytest.raises(MigrationsRefused):
        load(tmp_path)
