"""A process dies, or is stopped and started, while a task is in one phase of its life: the task still ends once, with one branch.

CI runs the pairs that add knowledge; `make chaos` runs every process in every phase, killed and restarted.
"""

import itertools
import os
from collections.abc import Iterator

import pytest

from cli import watching
from tests.chaos.outcomes import facts, nothing_twice
from tests.chaos.phases import PHASES
from tests.e2e.failures.rows import nothing_left
from tests.servers import git_objects
from tests.servers.git import GitServer
from tests.servers.stack import GIT_TOKEN, Person, Stack
from tests.servers.stack_fixtures import ModelThread

PROCESSES = ("gateway", "scheduler", "git", "runner", "egress", "audit", "auth", "nats", "postgres")
ALL = tuple(itertools.product(("kill", "restart"), PROCESSES, PHASES))
SHORT = (
    # Whoever holds the work, in the middle of it: the next one does it again, and nothing of it counts twice.
    ("kill", "git", "preparing"),
    ("kill", "runner", "running"),
    ("kill", "git", "publishing"),
    # Whoever decides, while decisions are due: queue, steps and approval are in Postgres, and outlive it.
    ("kill", "scheduler", "queued"),
    ("kill", "scheduler", "running"),
    ("kill", "scheduler", "awaiting approval"),
    ("kill", "scheduler", "awaiting budget"),
    # Whoever is asked for what is not in a message, and whoever only looks on.
    ("kill", "gateway", "preparing"),
    ("kill", "gateway", "publishing"),
    ("kill", "egress", "running"),
    ("kill", "audit", "publishing"),
    ("kill", "auth", "awaiting approval"),
    # What everything stands on, killed in mid-work, and stopped and started in each phase.
    ("kill", "nats", "preparing"),
    ("kill", "nats", "running"),
    ("kill", "nats", "publishing"),
    ("kill", "postgres", "running"),
    ("kill", "postgres", "publishing"),
    *itertools.product(("restart",), ("nats", "postgres"), PHASES),
    ("restart", "runner", "running"),
)
CHOSEN = ALL if os.environ.get("CHAOS") == "full" else SHORT


@pytest.fixture
def held(git_server: GitServer) -> Iterator[GitServer]:
    yield git_server
    git_server.release()


@pytest.mark.parametrize(("how", "process", "phase"), CHOSEN)
def test_a_process_that_goes_costs_nothing(
    stack: Stack, person: Person, project: str, repository: str, held: GitServer, model: ModelThread, how: str, process: str, phase: str
) -> None:
    work = PHASES[phase](stack, person, held, repository, model)
    tasks = work.hold(project)
    stack.kill(process) if how == "kill" else stack.restart(process)
    if phase.startswith("awaiting"):
        stack.up()  # a person cannot decide while nobody answers
    work.go(tasks)
    stack.up()
    ended = [person.until(task, "succeeded", "failed", "cancelled", "timed_out") for task in tasks]
    nothing_twice(held, repository, ended)
    assert GIT_TOKEN not in str(ended)
    for task in ended:
        seen = facts(person, task["id"])
        assert seen["task.succeeded.v1"] == seen["change.published.v1"] == seen["run.finished.v1"] == 1, seen
        assert seen["run.finished.v1"] + seen["run.failed.v1"] == len(task["run_ids"]), seen  # before a budget was raised, another
        nothing_left(stack, task)
    assert stack.containers() == []


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
    seen = facts(person, task)
    assert seen["task.succeeded.v1"] == seen["change.published.v1"] == seen["task.failed.v1"] == 1, seen
