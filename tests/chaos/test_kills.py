"""SIGKILL of one process in the middle of a task, in each phase: the task still ends once, with one branch.

The short form of the chaos suite: one kill for each process and phase, at a moment that is held still for it.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from cli import watching
from cli.client import Json
from tests.servers import git_objects
from tests.servers.git import GitServer
from tests.servers.stack import GIT_TOKEN, Person, Stack

PROCESSES = ("gateway", "scheduler", "git", "runner", "egress", "audit", "nats", "postgres")
SCRIPT = "echo begun; sleep 4; echo done > done.txt"


def _facts(person: Person, task: str) -> Counter[str]:
    """How often each fact of the task stands in the trail."""
    page: Json = person.client.get("/v1/audit", task_id=task, limit=100)
    return Counter(entry["type"] for entry in page["entries"] if entry["stream"] == "EVT")


@pytest.fixture
def held(git_server: GitServer) -> Iterator[GitServer]:
    yield git_server
    git_server.release()


def _until_preparing(person: Person, project: str, server: GitServer) -> str:
    server.hold()
    task = person.task(project, SCRIPT)
    assert server.arrived.wait(60)
    return task


def _until_running(person: Person, project: str, server: GitServer) -> str:
    del server
    task = person.task(project, SCRIPT)
    next(event for event in person.follow(task) if event.name == "output" and event.data["event"]["text"] == "begun")
    return task


def _until_publishing(person: Person, project: str, server: GitServer) -> str:
    task = _until_running(person, project, server)
    server.hold()
    assert server.arrived.wait(60)
    return task


PHASES: dict[str, Callable[[Person, str, GitServer], str]] = {
    "preparing": _until_preparing,
    "running": _until_running,
    "publishing": _until_publishing,
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("process", PROCESSES)
def test_a_killed_process_costs_nothing(
    stack: Stack, person: Person, project: str, repository: str, held: GitServer, process: str, phase: str
) -> None:
    task = PHASES[phase](person, project, held)
    stack.kill(process)
    held.release()
    stack.up()
    ended = person.until(task, "succeeded", "failed", "cancelled", "timed_out")
    assert (ended["state"], ended["outcome"]) == ("succeeded", "published"), ended["failure"]
    pushed = git_objects.branches(held.path(repository))
    assert pushed.keys() == {"main", ended["branch"]}
    assert pushed[ended["branch"]] == ended["commit_sha"]
    assert git_objects.tree_of(held.path(repository), ended["branch"]) == ended["tree_sha"]
    facts = _facts_sealed(person, task)
    assert facts["task.succeeded.v1"] == facts["change.published.v1"] == facts["run.finished.v1"] == 1, facts
    assert stack.containers() == []
    assert GIT_TOKEN not in str(ended)


def test_a_scheduler_killed_during_a_publish_by_hand_costs_nothing(
    stack: Stack, person: Person, project: str, repository: str, held: GitServer
) -> None:
    failed = person.until(person.task(project, "echo half > half.txt; exit 1"))
    task = failed["id"]
    person.client.post(f"/v1/tasks/{task}/publish", {})
    watching.until_heard(person.client, failed)
    waiting = person.until(task)
    assert waiting["state"] == "awaiting_approval", waiting
    held.hold()
    person.client.post(f"/v1/tasks/{task}/approve", {"tree_sha": waiting["tree_sha"]})
    assert held.arrived.wait(60)
    stack.kill("scheduler")
    held.release()
    stack.up()
    ended = person.until(task, "succeeded", "failed", "cancelled", "timed_out")
    assert (ended["state"], ended["outcome"]) == ("succeeded", "published"), ended["failure"]
    pushed = git_objects.branches(held.path(repository))
    assert pushed == {"main": pushed["main"], ended["branch"]: ended["commit_sha"]}
    assert git_objects.tree_of(held.path(repository), ended["branch"]) == waiting["tree_sha"]
    facts = _facts_sealed(person, task)
    assert facts["task.succeeded.v1"] == facts["change.published.v1"] == facts["task.failed.v1"] == 1, facts


def _facts_sealed(person: Person, task: str) -> Counter[str]:
    """The facts once the last one has reached the trail, which follows by a moment."""
    deadline = time.monotonic() + 30
    while True:
        facts = _facts(person, task)
        if facts["task.succeeded.v1"] or time.monotonic() > deadline:
            return facts
