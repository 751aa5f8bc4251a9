"""OpenCode's session goes out as lines while it is written to, and comes back as the same database; what is none is passed over."""

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from deploy.images.recipe import HERE
from services.runner.agents.opencode import OpenCode
from shared.events import ids
from shared.events.ids import SessionId

PLACE = OpenCode().session_place(SessionId(ids.fresh()))
NONE, TOO_LONG = 20, 21


def _out(directory: Path, max_bytes: int = 1_000_000) -> tuple[int, bytes]:
    script = HERE / "opencode" / "session-out"
    done = subprocess.run([script, directory, "0", "opencode.session", str(max_bytes)], check=False, capture_output=True, timeout=20)
    return done.returncode, done.stdout


@pytest.fixture
def writing(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A program that has its database open and rows in it that are not in its main file yet."""
    with closing(sqlite3.connect(tmp_path / "opencode.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE part (data TEXT)")
        database.executemany("INSERT INTO part VALUES (?)", [("half\n",), ("\N{PARROT}",)])
        yield database


def test_what_was_written_comes_back(writing: sqlite3.Connection, tmp_path: Path) -> None:
    code, said = _out(tmp_path)
    head, _, lines = said.partition(b"\n")
    assert (code, head) == (0, b"session %d" % len(lines))
    assert lines.endswith(b"\n")
    home = tmp_path / "home"
    assert PLACE is not None
    back = home / PLACE.path.removeprefix("/home/agent/")
    back.parent.mkdir(parents=True)
    back.write_bytes(lines)
    subprocess.run(["/bin/sh", HERE / "opencode" / "launch"], check=False, env={**os.environ, "HOME": str(home)}, capture_output=True)
    with closing(sqlite3.connect(back.parent / "opencode.db")) as copy:
        assert copy.execute("SELECT data FROM part").fetchall() == writing.execute("SELECT data FROM part").fetchall()
    assert not back.exists()


@pytest.mark.usefixtures("writing")
def test_a_session_that_is_too_long_is_refused(tmp_path: Path) -> None:
    assert _out(tmp_path, 100) == (TOO_LONG, b"")
    assert _out(tmp_path, 9_000) == (TOO_LONG, b"")  # as a database it would fit, as lines it does not


def test_what_is_no_database_is_passed_over_and_not_waited_for(tmp_path: Path) -> None:
    assert _out(tmp_path) == (NONE, b"")
    database = tmp_path / "opencode.db"
    database.write_bytes(b"no database" * 100)
    assert _out(tmp_path) == (NONE, b"")
    database.unlink()
    os.mkfifo(database)
    assert _out(tmp_path) == (NONE, b"")
    database.unlink()
    database.symlink_to("/dev/zero")
    assert _out(tmp_path) == (NONE, b"")
