"""The operator's commands where no stack is: they say so in two lines and with a code."""

import json
from pathlib import Path

import pytest

from cli.exits import Exit

from .command import Person


@pytest.fixture
def operator(tmp_path: Path) -> Person:
    return Person(tmp_path, "http://127.0.0.1:1")


def test_a_stack_that_does_not_run_has_a_code_of_its_own(operator: Person) -> None:
    done = operator.run("status")
    assert (done.returncode, json.loads(done.stdout)["state"]) == (Exit.UNREACHABLE, "stopped")


def test_a_trail_that_cannot_be_read_is_not_called_wrong(operator: Person) -> None:
    done = operator.run("audit", "verify")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (Exit.UNREACHABLE, "", 2)
    assert "while it is up" in done.stderr


def test_files_that_are_named_and_missing_are_said(operator: Person, tmp_path: Path) -> None:
    (tmp_path / "export").write_text("{\n")
    missing = operator.run("audit", "verify", "--export", str(tmp_path / "export"), "--checkpoints", "none", "--key", "none", "--json")
    assert (missing.returncode, missing.stdout, json.loads(missing.stderr)["exit_code"]) == (Exit.USAGE, "", 2)


def test_images_that_cannot_be_built_are_said(operator: Person) -> None:
    done = operator.run("images", DOCKER_HOST="unix:///nonexistent/docker.sock")
    assert (done.returncode, done.stdout) == (Exit.FAILED, "")
    assert "The images could not be built: the Docker engine does not answer" in done.stderr


def test_the_version_is_for_programs_too(operator: Person) -> None:
    assert json.loads(operator.run("version").stdout) == {"version": "0.1.0"}
    assert operator.on_terminal("version") == (0, "0.1.0\r\n")


def test_a_group_alone_shows_its_commands(operator: Person) -> None:
    for arguments in ([], ["task"]):
        done = operator.run(*arguments)
        assert (done.returncode, "Commands:" in done.stdout) == (0, True)
