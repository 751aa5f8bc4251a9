"""One row of the failure matrix: how a task must end, what a person must be told, and what must and must not be left of it.

    row = Row("failed", FailureClass.CLONE_REFUSED, "ref_not_found")
    ends(stack, person, task_id, row, Remote(git_server, repository))

Each assertion names the task and shows it, so that a red row can be read without the logs.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from cli.client import Json
from deploy.embedded.state import Layout
from shared.events.failures import CODES, FailureClass
from tests.servers.git import GitServer
from tests.servers.stack import Person, Stack

GONE_SECONDS = 30.0
"""How long a container may take to go after its task has ended: the engine removes it on its own time."""
_SHORTEST_ADVICE = 12


@dataclass(frozen=True)
class Row:
    """How a task must end. `failure_class` and `code` are None for an end that is no failure."""

    state: str
    failure_class: FailureClass | None = None
    code: str | None = None
    outcome: str | None = None
    kept: bool = False
    """Whether the sandbox made something that must still be there for a person."""
    pushed: bool = False
    """Whether the task's branch must be in the repository."""


@dataclass(frozen=True)
class Remote:
    """The repository that the task works on, seen from its server's side."""

    server: GitServer
    name: str

    def branch(self, task: Json) -> str | None:
        """The commit that the task's branch holds; None where there is no such branch, or no repository any more."""
        return self.server.branch(self.name, task["branch"]) if self.server.path(self.name).is_dir() else None


def ends(stack: Stack, person: Person, task_id: str, row: Row, remote: Remote | None = None) -> Json:
    """Wait for the task's end and hold it against its row; gives the task."""
    task = person.until(task_id)
    assert task["state"] == row.state, task
    assert task["outcome"] == row.outcome, task
    _told(task, row)
    _kept(task, row)
    if remote is not None:
        assert (remote.branch(task) is not None) is row.pushed, (remote.branch(task), task)
        assert not row.pushed or remote.branch(task) == task["commit_sha"], task
    nothing_left(stack, task)
    return task


def _told(task: Json, row: Row) -> None:
    """The failure is of the catalogue, and says in words what happened and what to do."""
    failure = task["failure"]
    if row.code is None:
        assert failure is None, task
        return
    assert failure is not None, task
    assert (failure["failure_class"], failure["code"]) == (row.failure_class, row.code), task
    assert row.code in CODES
    for text in (failure["message"], failure["advice"]):
        assert len(text) >= _SHORTEST_ADVICE, task
        assert text.endswith("."), task


def _kept(task: Json, row: Row) -> None:
    """What the sandbox made is there for whoever asks: published, or kept until a person publishes it."""
    if not row.kept:
        return
    assert task["tree_sha"] is not None, task
    if not row.pushed and row.state in {"failed", "cancelled", "timed_out"}:
        assert task["kept"] is not None, task
        assert task["kept"]["tree_sha"] == task["tree_sha"], task


def nothing_left(stack: Stack, task: Json) -> None:
    """No container of the task, no work directory of the runner or of git, no socket directory of one of its runs."""
    layout = Layout(stack.root)
    names = (task["id"], *task["run_ids"])
    places = (layout.data("runner") / "work", layout.data("git") / "cache" / "work", layout.sockets)
    gone(lambda: containers_of(task["id"]), "containers")
    gone(lambda: [str(found) for place in places for name in names for found in _named(place, name)], "directories")


def containers_of(task_id: str) -> list[str]:
    """Every container that carries the task's label."""
    command = ["/usr/bin/env", "docker", "ps", "--all", "--quiet", "--no-trunc", "--filter", f"label=async-code.task={task_id}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


@contextlib.contextmanager
def frozen(pid: int) -> Generator[None]:
    """The process does nothing meanwhile, and its messages wait."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _named(place: Path, name: str) -> list[Path]:
    return list(place.glob(f"*{name}*")) if place.is_dir() else []


def gone(find: Callable[[], list[str]], what: str, seconds: float = GONE_SECONDS) -> None:
    """Wait until nothing is found any more."""
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while left := find():
        assert time.monotonic() < deadline, f"{what} are left: {left}"
        pause.wait(0.2)
