"""The whole line, as a person sees it: a prompt becomes a branch."""

import json
import subprocess
from pathlib import Path

import pytest

from cli import events
from cli.client import Json
from cli.exits import CliError, Exit
from tests.servers import git_objects
from tests.servers.git import GitServer
from tests.servers.stack import GIT_TOKEN, Person, Stack


def _pushed(server: GitServer, repository: str, task: Json) -> bytes:
    """The pushed branch's tree, which must be the tree the sandbox wrote."""
    path = server.path(repository)
    assert server.branch(repository, task["branch"]) == task["commit_sha"]
    assert git_objects.tree_of(path, task["branch"]) == task["tree_sha"]
    return git_objects.git(path, "ls-tree", "-r", task["branch"])


def test_a_script_becomes_a_branch(person: Person, project: str, repository: str, git_server: GitServer) -> None:
    script = "echo working; sed -i s/hello/goodbye/ app.py; chmod -x run.sh; rm -r dir; ln -s app.py link; printf 'a\\0b' > binary"
    task = person.until(person.task(project, script, title="Say goodbye"))
    assert (task["state"], task["outcome"]) == ("succeeded", "published"), task
    assert task["branch"].endswith("-say-goodbye")
    listed = _pushed(git_server, repository, task).decode()
    assert [line.split()[0] + " " + line.split("\t")[1] for line in listed.splitlines()] == [
        "100644 app.py",
        "100644 binary",
        "120000 link",
        "100644 run.sh",
    ]
    changes = json.loads(person.client.text(f"/v1/tasks/{task['id']}/changes"))
    assert {change["path"]: change["status"] for change in changes["files"]} == {
        "app.py": "modified",
        "binary": "added",
        "dir/keep.txt": "deleted",
        "link": "added",
        "run.sh": "modified",
    }
    said = [line["event"]["text"] for line in person.client.get(f"/v1/tasks/{task['id']}/messages")["messages"]]
    assert "working" in said


def test_the_patch_applies_to_the_base_and_gives_the_tree(
    person: Person, project: str, repository: str, git_server: GitServer, tmp_path: Path
) -> None:
    task = person.until(person.task(project, "echo more >> app.py; printf '\\377' > odd"))
    patch = tmp_path / "patch"
    patch.write_bytes(person.client.text(f"/v1/tasks/{task['id']}/patch"))
    clone = tmp_path / "clone"
    subprocess.run(["/usr/bin/git", "clone", "--quiet", str(git_server.path(repository)), str(clone)], check=True)
    git_objects.git(clone, "apply", "--index", patch)
    assert git_objects.git(clone, "write-tree").decode().strip() == task["tree_sha"]


def test_nothing_changed_is_a_success_without_a_branch(person: Person, project: str, repository: str, git_server: GitServer) -> None:
    task = person.until(person.task(project, "true"))
    assert (task["state"], task["outcome"], task["commit_sha"]) == ("succeeded", "no_changes", None)
    assert git_server.branch(repository, task["branch"]) is None


def test_a_failed_agent_is_never_published_and_says_why(person: Person, project: str, repository: str, git_server: GitServer) -> None:
    task = person.until(person.task(project, "echo half > half.txt; exit 3"))
    assert task["state"] == "failed"
    assert (task["failure"]["failure_class"], task["failure"]["code"]) == ("agent_failed", "agent_exit")
    assert task["failure"]["advice"]
    assert git_server.branch(repository, task["branch"]) is None


def test_what_ci_runs_waits_for_a_person(person: Person, project: str, repository: str, git_server: GitServer) -> None:
    task = person.until(person.task(project, "mkdir -p .github/workflows; echo 'on: push' > .github/workflows/ci.yml"))
    assert task["state"] == "awaiting_approval"
    assert task["change"]["protected_files"] == 1
    assert git_server.branch(repository, task["branch"]) is None
    with pytest.raises(CliError) as refused:
        person.client.post(f"/v1/tasks/{task['id']}/approve", {"tree_sha": "0" * 40})
    assert refused.value.code == Exit.REFUSED
    person.client.post(f"/v1/tasks/{task['id']}/approve", {"tree_sha": task["tree_sha"]})
    _pushed(git_server, repository, person.until(task["id"], "succeeded", "failed"))


def test_a_rejected_change_is_not_pushed(person: Person, git_server: GitServer, repository: str) -> None:
    git_server.require_token(repository, GIT_TOKEN)
    person.client.post("/v1/credentials", {"purpose": "git_token", "host": f"127.0.0.1:{git_server.port}", "value": GIT_TOKEN})
    project = person.project(git_server.url(repository), publish_policy="ask")
    task = person.until(person.task(project, "echo x > x"))
    assert task["state"] == "awaiting_approval"
    person.client.post(f"/v1/tasks/{task['id']}/reject", {})
    assert person.until(task["id"], "cancelled", "failed", "succeeded")["state"] == "cancelled"
    assert git_server.branch(repository, task["branch"]) is None


def test_a_running_task_is_cancelled_at_once(person: Person, project: str, stack: Stack) -> None:
    task = person.task(project, "echo begun; sleep 600")
    for event in person.follow(task):
        if event.name == "output" and event.data["event"]["text"] == "begun":
            break
    person.client.post(f"/v1/tasks/{task}/cancel", {})
    assert person.until(task, "cancelled", "failed")["state"] == "cancelled"
    assert not any(task in _labels(container) for container in stack.containers())


def _labels(container: str) -> str:
    command = ["/usr/bin/env", "docker", "inspect", "--format", "{{json .Config.Labels}}", container]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout


def test_a_wrong_token_and_a_missing_branch_are_named(person: Person, project: str, git_server: GitServer, repository: str) -> None:
    missing = person.until(person.task(project, "true", base_ref="not-there"))
    assert missing["failure"]["code"] == "ref_not_found"
    git_server.require_token(repository, "another-token")
    wrong = person.until(person.task(project, "true"))
    assert wrong["failure"]["code"] in {"repository_auth", "repository_not_found"}


def test_a_stream_that_breaks_goes_on_without_a_gap_or_a_repetition(person: Person, project: str) -> None:
    task = person.task(project, "for i in $(seq 200); do echo line $i; done")
    whole = [event for event in person.follow(task) if event.name == "output"]
    said = "\n".join(event.data["event"]["text"] for event in whole if event.data["event"]["kind"] == "log")
    assert said.splitlines() == [f"line {i}" for i in range(1, 201)]
    middle = whole[len(whole) // 2]
    with person.client.stream(f"/v1/tasks/{task}/events", {"last-event-id": str(middle.id)}) as answer:
        rest = [event for event in events.parse(answer.iter_lines()) if event.name == "output"]
    # Where facts and output met is no part of the promise: the second half of an id is the output's own place.
    assert [(event.data, str(event.id).partition(".")[2]) for event in rest] == [
        (event.data, str(event.id).partition(".")[2]) for event in whole[len(whole) // 2 + 1 :]
    ]


def test_others_see_nothing(stack: Stack, person: Person, project: str) -> None:
    task = person.task(project, "true")
    stranger = stack.user()
    for path in (
        f"/v1/tasks/{task}",
        f"/v1/tasks/{task}/changes",
        f"/v1/tasks/{task}/messages",
        f"/v1/projects/{project}",
        f"/v1/tasks/{task}/events",
    ):
        with pytest.raises(CliError) as missing:
            stranger.client.get(path)
        assert missing.value.code == Exit.NOT_FOUND, path
    with pytest.raises(CliError) as refused:
        stranger.client.post("/v1/tasks", {"project_id": project, "prompt": "x", "agent": "shell"})
    assert refused.value.code == Exit.NOT_FOUND
    assert stranger.client.get("/v1/tasks")["items"] == []
    assert person.until(task)["state"] == "succeeded"


def test_invalid_input_names_the_field_and_the_rule(person: Person, project: str) -> None:
    with pytest.raises(CliError, match="prompt"):
        person.client.post("/v1/tasks", {"project_id": project, "prompt": "x" * 100_001, "agent": "shell"})
    with pytest.raises(CliError, match="agent"):
        person.client.post("/v1/tasks", {"project_id": project, "prompt": "x", "agent": "no such agent"})
    with pytest.raises(CliError, match=r"surprise|extra"):
        person.client.post("/v1/tasks", {"project_id": project, "prompt": "x", "agent": "shell", "surprise": 1})
