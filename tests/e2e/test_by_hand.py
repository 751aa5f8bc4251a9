"""What a task made that did not succeed, published or discarded by hand: nothing is lost, nothing is pushed that nobody looked at."""

from typing import Any

import pytest

from cli import watching
from cli.client import Json
from cli.exits import CliError
from tests.servers import git_objects
from tests.servers.git import GitServer
from tests.servers.git_objects import Blob
from tests.servers.stack import GIT_TOKEN, Person, Stack

HALF = "echo half > half.txt; "


def decide(person: Person, task: Json, action: str, **body: Any) -> Json:
    """Ask for it, and wait until the task ends again or waits for a person; gives the task."""
    before = person.get(task["id"])
    person.client.post(f"/v1/tasks/{task['id']}/{action}", body)
    watching.until_heard(person.client, before)
    return person.until(task["id"])


def refused(person: Person, task: Json, action: str, **body: Any) -> str:
    """The last part of the problem's type."""
    with pytest.raises(CliError) as refusal:
        person.client.post(f"/v1/tasks/{task['id']}/{action}", body)
    return str(refusal.value.problem["type"]).rpartition(":")[2]


def pushed(server: GitServer, repository: str, task: Json, tree: str) -> bool:
    """Whether the task succeeded with exactly this tree on its branch."""
    assert (task["state"], task["outcome"], task["failure"], task["kept"]) == ("succeeded", "published", None, None), task
    assert server.branch(repository, task["branch"]) == task["commit_sha"]
    return git_objects.tree_of(server.path(repository), task["branch"]) == tree


def begun(person: Person, task: str) -> None:
    next(event for event in person.follow(task) if event.name == "output" and event.data["event"]["text"] == "begun")


def test_half_work_of_a_failed_agent_is_looked_at_then_published(
    person: Person, project: str, repository: str, git_server: GitServer
) -> None:
    failed = person.until(person.task(project, HALF + "chmod -x run.sh; exit 3"))
    assert (failed["state"], failed["change"]) == ("failed", None)
    tree = failed["kept"]["tree_sha"]
    held = decide(person, failed, "publish")
    assert (held["state"], held["failure"], held["change"]["held_reason"]) == ("awaiting_approval", None, "by_hand")
    assert git_server.branch(repository, held["branch"]) is None
    changes = person.client.get(f"/v1/tasks/{failed['id']}/changes")
    assert (changes["tree_sha"], [file["path"] for file in changes["files"]]) == (tree, ["half.txt", "run.sh"])
    assert pushed(git_server, repository, decide(person, held, "approve", tree_sha=tree), tree)
    assert refused(person, failed, "publish") == "wrong-state"


def test_protected_paths_in_it_wait_for_a_person_who_names_the_tree(
    person: Person, project: str, repository: str, git_server: GitServer
) -> None:
    failed = person.until(person.task(project, HALF + "mkdir -p .github/workflows; echo 'on: push' > .github/workflows/ci.yml; exit 1"))
    tree = failed["kept"]["tree_sha"]
    held = decide(person, failed, "publish", tree_sha=tree)  # nobody can have seen its diff yet
    assert (held["state"], held["change"]["held_reason"], held["change"]["protected_files"]) == ("awaiting_approval", "protected_paths", 1)
    files = {file["path"]: file["protected_by"] for file in person.client.get(f"/v1/tasks/{failed['id']}/changes")["files"]}
    assert files == {".github/workflows/ci.yml": ".github/workflows/**", "half.txt": None}
    assert refused(person, held, "approve", tree_sha="0" * 40) == "wrong-state"
    assert pushed(git_server, repository, decide(person, held, "approve", tree_sha=tree), tree)


def test_what_ran_out_of_time_and_is_rejected_is_over_as_before(
    person: Person, project: str, repository: str, git_server: GitServer
) -> None:
    late = person.until(person.task(project, HALF + "sleep 600", limits={"wall_seconds": 3}))
    assert (late["state"], late["failure"]["code"]) == ("timed_out", "wall_time")
    held = decide(person, late, "publish")
    over = decide(person, held, "reject")
    assert (over["state"], over["failure"], over["kept"]) == ("timed_out", late["failure"], None)
    assert refused(person, over, "publish") == "nothing-kept"
    assert git_server.branch(repository, late["branch"]) is None


def test_the_work_of_a_cancelled_run_is_put_aside_and_published_later(
    person: Person, project: str, repository: str, git_server: GitServer
) -> None:
    task = person.task(project, HALF + "echo begun; sleep 600")
    begun(person, task)
    person.client.post(f"/v1/tasks/{task}/cancel", {})
    cancelled = person.until(task, "cancelled", "failed")
    tree = cancelled["kept"]["tree_sha"]
    aside = decide(person, decide(person, cancelled, "publish"), "cancel")
    assert (aside["state"], aside["kept"]["tree_sha"]) == ("cancelled", tree)
    # Its diff is stored by now, so naming it is enough.
    assert pushed(git_server, repository, decide(person, aside, "publish", tree_sha=tree), tree)


def test_what_is_discarded_stays_unpublished(stack: Stack, person: Person, project: str, repository: str, git_server: GitServer) -> None:
    failed = person.until(person.task(project, HALF + "exit 1"))
    before = person.get(failed["id"])
    person.client.post(f"/v1/tasks/{failed['id']}/discard", {})
    after = watching.until_heard(person.client, before)
    assert (after["state"], after["failure"], after["kept"]) == ("failed", failed["failure"], None)
    for action in ("publish", "discard"):
        assert refused(person, after, action) == "nothing-kept"
    assert refused(stack.user(), after, "discard") == "not-found"
    assert git_server.branch(repository, failed["branch"]) is None


def test_a_taken_branch_is_deleted_and_the_change_published_again(
    person: Person, project: str, repository: str, git_server: GitServer
) -> None:
    task = person.task(project, HALF + "echo begun; sleep 2")
    begun(person, task)
    path, branch = git_server.path(repository), person.get(task)["branch"]
    git_objects.write_commit(path, git_objects.write_tree(path, {b"theirs": Blob(b"theirs")}), branch=branch)
    refusal = person.until(task)
    assert (refusal["state"], refusal["failure"]["code"], refusal["change"]["files"]) == ("failed", "branch_taken", 1)
    again = decide(person, refusal, "publish", tree_sha=refusal["tree_sha"])
    assert (again["state"], again["failure"]["code"], again["kept"]["tree_sha"]) == ("failed", "branch_taken", refusal["tree_sha"])
    git_objects.git(path, "update-ref", "-d", f"refs/heads/{branch}")
    assert pushed(git_server, repository, decide(person, again, "publish", tree_sha=refusal["tree_sha"]), refusal["tree_sha"])


def test_a_token_stored_after_a_refused_push_is_used(person: Person, project: str, repository: str, git_server: GitServer) -> None:
    task = person.task(project, HALF + "echo begun; sleep 2")
    begun(person, task)
    fresh = GIT_TOKEN + "-fresh"
    git_server.require_token(repository, fresh)
    refusal = person.until(task)
    assert (refusal["state"], refusal["failure"]["failure_class"]) == ("failed", "push_refused")
    person.client.post("/v1/credentials", {"purpose": "git_token", "host": f"127.0.0.1:{git_server.port}", "value": fresh})
    tree = refusal["tree_sha"]
    assert pushed(git_server, repository, decide(person, refusal, "publish", tree_sha=tree), tree)
