"""Promise 3: what is reviewed is what the agent made. Whatever a repository holds and whatever an agent does in its sandbox."""

import asyncio
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.integration.fidelity.oracle import Expected, Oracle
from tests.integration.fidelity.verdict import applied_to_a_checkout, files_of, judge_document
from tests.integration.fidelity.workshop import BRANCH, Outcome, Workshop
from tests.integration.fidelity.worlds import WORLDS, World
from tests.servers import git_objects
from tests.servers.git_objects import Blob

EXAMPLES = int(os.environ.get("ASYNC_CODE_FIDELITY_EXAMPLES", "0"))
"""Not 0: so many examples, other ones each time. `make fidelity` sets it."""
UNHURRIED = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
OF_CI = settings(max_examples=30, derandomize=True, deadline=None, database=None, suppress_health_check=UNHURRIED)
OF_A_SEARCH = settings(max_examples=EXAMPLES or 1, deadline=None, print_blob=True, suppress_health_check=UNHURRIED, phases=list(Phase))
EARLIER = {b"README": Blob(b"of an earlier commit\n")}


ATTRIBUTES = b"* text=auto eol=crlf\n"
FOUND = (
    # The attributes a file was checked out by go away: git still has them in the index when it looks at it, and not when it stores it.
    World({b".gitattributes": Blob(ATTRIBUTES), b"d/kept": Blob(b"one\n")}, (("delete", ".gitattributes"), ("write", "d/new", "a\r\n"))),
    # Attributes come that an untouched file does not fit: git dies at it, if it is as young as the index.
    World({b"u": Blob(b"\xff")}, (("write", ".gitattributes", "u working-tree-encoding=UTF-16\n"),)),
    # Files that have never fitted their attributes are written again with the same bytes.
    World(
        {b".gitattributes": Blob(b"* text\n"), b"a": Blob(b"one\r\n"), b"b": Blob(b"b\n")},
        (("touch", "a"), ("git", "stash"), ("chmod", "b", "755")),
    ),
    World(
        {b".gitattributes": Blob(b"* ident\n"), b"a": Blob(b"$Id$ $Id: x $\n")},
        (("copy", "a", "b"), ("delete", "a"), ("rename", "b", "a")),
    ),
    # The same size and the same times.
    World(
        {b"a": Blob(b"one\n"), b"b": Blob(b"two\n", "100755")},
        (("disguise", "a"), ("git", "update-index", "--assume-unchanged", "b"), ("disguise", "b")),
    ),
    World({b"d/f": Blob(b"one\n"), b"e": Blob(b"x", "120000")}, (("link", "d", ".."), ("directory", "e"), ("write", "e/f", "one\n"))),
)


@pytest.mark.parametrize("world", FOUND)
def test_what_was_found_once(workshop: Workshop, loop: "asyncio.Runner", world: World) -> None:
    judge(workshop, loop, world)


@pytest.mark.timeout(36_000 if EXAMPLES else 240)
@(OF_A_SEARCH if EXAMPLES else OF_CI)
@given(WORLDS)
def test_what_is_published_is_what_the_work_tree_held(workshop: Workshop, loop: "asyncio.Runner", world: World) -> None:
    judge(workshop, loop, world)


def judge(workshop: Workshop, loop: "asyncio.Runner", world: World) -> None:
    """One example, from the repository to every word about it."""
    name = workshop.repository(EARLIER, {**dict.fromkeys(EARLIER, None), **world.base})
    repository = workshop.server.path(name)
    base = files_of(repository, "main")
    outcome = loop.run(workshop.work(name, world.operations))
    with tempfile.TemporaryDirectory(dir=workshop.directory) as room:
        places = [Path(room) / name for name in ("oracle", "apply")]
        for place in places:
            place.mkdir()
        expected = Oracle(base, outcome.before, outcome.after, places[0]).expected()
        if expected.codes or outcome.code:
            assert outcome.code in expected.codes
        else:
            _judge_published(repository, outcome, base, expected, places[1])
    workshop.forget(name)


def _judge_published(repository: Path, outcome: Outcome, base: dict[bytes, Blob], expected: Expected, room: Path) -> None:
    if outcome.published is None:
        assert expected.files == base
        return
    assert files_of(repository, BRANCH) == expected.files
    tree = git_objects.tree_of(repository, BRANCH)
    assert tree == outcome.published.tree_sha
    assert outcome.prepared is not None
    assert outcome.changes is not None
    assert outcome.patch is not None
    judge_document(outcome.changes, base, expected.files)
    totals = [(file.additions, file.deletions) for file in outcome.changes.files]
    assert outcome.prepared.files == len(totals)
    assert (outcome.prepared.additions, outcome.prepared.deletions) == tuple(map(sum, zip(*totals, strict=True)))
    assert applied_to_a_checkout(repository, outcome.base_sha, outcome.patch, room) == tree
