"""The tree explains the system: what stands where, and what nothing may be called."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import docker
import git
import grimp
import pytest

ROOT = Path(__file__).parents[2]
SERVICES = ("audit", "gateway", "git", "runner", "scheduler")
PYTHON = sorted(path for top in ("services", "shared", "cli", "deploy", "tests") for path in (ROOT / top).rglob("*.py"))
SHARED = {"blobs", "bus", "events", "secrets", "store", "telemetry"}
VAGUE = re.compile(r"(?:^|_)(?:utils?|commons?|helpers?|misc)(?:_|$)")
MAX_LINES = 400


def test_the_libraries_are_not_shadowed_by_our_packages() -> None:
    assert git.Repo
    assert docker.DockerClient


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_the_files_every_service_has(service: str) -> None:
    names = {path.name for path in (ROOT / "services" / service).iterdir()}
    assert {"__main__.py", "app.py", "settings.py", "handlers.py", "errors.py", "README.md"} <= names


def test_shared_is_a_closed_list() -> None:
    assert {path.name for path in (ROOT / "shared").iterdir() if path.is_dir() and path.name != "__pycache__"} == SHARED


def test_every_directory_with_code_is_a_package() -> None:
    assert [str(directory) for directory in sorted({path.parent for path in PYTHON}) if not (directory / "__init__.py").exists()] == []


def test_nothing_has_a_name_that_says_nothing() -> None:
    assert [str(path) for path in PYTHON if VAGUE.search(path.stem) or VAGUE.search(path.parent.name)] == []


def test_no_file_is_too_long_to_read() -> None:
    long = {str(path.relative_to(ROOT)): lines for path in PYTHON if (lines := len(path.read_text().splitlines())) > MAX_LINES}
    assert long == {}


def test_the_picture_of_imports_has_no_circle() -> None:
    graph = grimp.build_graph("services", "shared", "cli", "deploy", cache_dir=None)
    TopologicalSorter({module: graph.find_modules_directly_imported_by(module) for module in graph.modules}).prepare()  # raises CycleError


def _imports(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and node.level == 0}


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("docker", {"services/runner/docker_engine.py", "deploy/images"}),
        ("git", {"services/git"}),
        ("supabase", {"services/gateway"}),
    ],
)
def test_a_library_with_power_is_imported_in_one_place(library: str, allowed: set[str]) -> None:
    product = [path for path in PYTHON if path.relative_to(ROOT).parts[0] != "tests"]
    users = {str(path.relative_to(ROOT)) for path in product if any(name.split(".")[0] == library for name in _imports(path))}
    assert {user for user in users if not any(user == place or user.startswith(f"{place}/") for place in allowed)} == set()
