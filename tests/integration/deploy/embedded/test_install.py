"""The copy that a stack runs from."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.embedded import install

CHECKOUT = Path(__file__).parents[4]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small one, with a file that only its owner can read."""
    for top in install.CODE:
        (tmp_path / "checkout" / top / "__pycache__").mkdir(parents=True)
    (tmp_path / "checkout" / "deploy" / "__init__.py").write_text('WHERE = "here"\n')
    (tmp_path / "checkout" / "deploy" / "__init__.py").chmod(0o600)
    (tmp_path / "checkout" / "deploy" / "__pycache__" / "left.pyc").write_bytes(b"")
    (tmp_path / "checkout" / "deploy" / "tool.sh").write_text("#!/bin/sh\n")
    (tmp_path / "checkout" / "deploy" / "tool.sh").chmod(0o700)
    return tmp_path / "checkout"


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """A small environment: one package, an interpreter, and a file with too narrow a mode."""
    site = tmp_path / "venv" / "lib" / "python3.11" / "site-packages"
    (site / "thing-1.0.dist-info").mkdir(parents=True)
    (site / "thing.py").write_text("VALUE = 1\n")
    (site / "thing.py").chmod(0o600)
    (site / "other.py").write_text("VALUE = 2\n")
    (tmp_path / "venv" / "bin").mkdir()
    (tmp_path / "venv" / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    (tmp_path / "venv" / "pyvenv.cfg").write_text("home = /usr/bin\n")
    return tmp_path / "venv"


def modes(directory: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) & 0o444 for path in directory.rglob("*") if path.is_file()}


def test_everybody_can_read_the_copy_and_nobody_else_can_write_it(checkout: Path, venv: Path, tmp_path: Path) -> None:
    app = install.install(checkout, venv, tmp_path / "app")
    assert modes(app.code) == modes(app.venv) == {0o444}
    assert all(not path.stat().st_mode & 0o022 for path in tmp_path.joinpath("app").rglob("*") if not path.is_symlink())
    assert (app.code / "deploy" / "tool.sh").stat().st_mode & 0o111 == 0o111
    assert stat.S_IMODE((venv / "lib/python3.11/site-packages/thing.py").stat().st_mode) == 0o600
    linked = "lib/python3.11/site-packages/other.py"
    assert (app.venv / linked).stat().st_ino == (venv / linked).stat().st_ino
    assert not (app.code / "deploy" / "__pycache__" / "left.pyc").exists()


def test_the_copy_runs(checkout: Path, venv: Path, tmp_path: Path) -> None:
    app = install.install(checkout, venv, tmp_path / "app")
    program = "import deploy, thing; print(deploy.WHERE, thing.VALUE)"
    done = subprocess.run([app.python, "-c", program], cwd=app.code, capture_output=True, text=True, check=True)
    assert done.stdout == "here 1\n"


def test_the_name_follows_from_the_content(checkout: Path, venv: Path, tmp_path: Path) -> None:
    first = install.install(checkout, venv, tmp_path / "app")
    assert install.install(checkout, venv, tmp_path / "app") == first
    (checkout / "services" / "new.py").write_text("")
    second = install.install(checkout, venv, tmp_path / "app")
    assert (second.code != first.code, second.venv == first.venv) == (True, True)
    (venv / "lib/python3.11/site-packages/more-2.0.dist-info").mkdir()
    third = install.install(checkout, venv, tmp_path / "app")
    assert (third.code == second.code, third.venv != second.venv) == (True, True)
    install.remove_others(third)
    assert {path.name for path in (tmp_path / "app").iterdir()} == {third.code.name, third.venv.name}
