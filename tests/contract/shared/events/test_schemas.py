"""Every message stays readable: by older readers, and from older writers."""

import json
import subprocess
from pathlib import Path

import pytest

from shared.events import schemas
from shared.events.catalogue import TYPES

ROOT = Path(__file__).parents[4]


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout  # noqa: S607


def _committed_versions(path: str) -> list[schemas.Schema]:
    commits = _git("log", "--format=%H", "--diff-filter=AM", "--", path).split()
    return [json.loads(_git("show", f"{commit}:{path}")) for commit in commits]


@pytest.mark.parametrize("message_type", sorted(TYPES))
def test_the_stored_schema_is_what_the_code_writes(message_type: str) -> None:
    stored = (schemas.DIRECTORY / f"{message_type}.json").read_text()
    assert stored == schemas.encode(schemas.current(message_type)), "run: python -m shared.events.schemas"


@pytest.mark.parametrize("message_type", sorted(TYPES))
def test_no_committed_version_is_broken(message_type: str) -> None:
    path = f"shared/events/schemas/{message_type}.json"
    for version in _committed_versions(path):
        assert schemas.breaks(version, schemas.current(message_type)) == []


def test_no_type_that_was_ever_stored_is_gone() -> None:
    stored = {Path(line).stem for line in _git("log", "--name-only", "--format=", "--", "shared/events/schemas").split()}
    assert stored <= TYPES.keys()


OLD: schemas.Schema = {"properties": {"a": {"type": "string"}, "b": {"type": "integer"}}, "required": ["a"]}


CASES: list[tuple[schemas.Schema, list[str]]] = [
    (OLD, []),
    (OLD | {"properties": OLD["properties"] | {"c": {"type": "string", "default": ""}}}, []),
    (
        OLD | {"properties": OLD["properties"] | {"c": {"type": "string"}}, "required": ["a", "c"]},
        ["c: required, but older messages do not have it"],
    ),
    ({"properties": {"a": {"type": "string"}}, "required": ["a"]}, ["b: removed"]),
    (OLD | {"required": []}, ["a: optional, but older readers require it"]),
    (
        OLD | {"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
        ['a.: was {"type": "string"}, is {"type": "integer"}'],
    ),
    (OLD | {"properties": {"a": {"type": "string", "description": "words"}, "b": {"type": "integer"}}}, []),
]


@pytest.mark.parametrize(("new", "expected"), CASES)
def test_what_counts_as_a_break(new: schemas.Schema, expected: list[str]) -> None:
    assert schemas.breaks(OLD, new) == expected
