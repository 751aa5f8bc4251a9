"""What a task leaves in the trail: every command and fact, in order per stream, provably."""

import json
import time
from collections import defaultdict

from tests.servers.stack import Person, Stack

COMMANDS = ["scheduler.submit.v1", "git.prepare.v1", "runner.start.v1", "git.publish.v1"]
FACTS = [
    "task.queued.v1",
    "task.preparing.v1",
    "workspace.prepared.v1",
    "task.running.v1",
    "run.started.v1",
    "run.finished.v1",
    "task.publishing.v1",
    "change.prepared.v1",
    "change.published.v1",
    "task.succeeded.v1",
]


def _entered(person: Person, task: str) -> dict[str, list[str]]:
    """The task's types by stream, in the log's order, once its last fact has been entered."""
    deadline = time.monotonic() + 30
    while True:
        types: dict[str, list[str]] = defaultdict(list)
        for entry in person.client.get("/v1/audit", task_id=task, limit=100)["entries"]:
            types[entry["stream"]].append(entry["type"])
        if FACTS[-1] in types["EVT"] or time.monotonic() > deadline:
            return types


def test_every_command_and_fact_of_a_task_is_entered_in_order_and_proved(stack: Stack, person: Person, project: str) -> None:
    task = person.until(person.task(project, "echo x > x"))
    types = _entered(person, task["id"])
    assert types["CMD"] == COMMANDS
    assert [name for name in types["EVT"] if name != "credential.opened.v1"] == FACTS
    assert types["EVT"].count("credential.opened.v1") == 2  # the git token: for the clone and for the push
    report = json.loads(stack.command("audit", "verify", "--json").stdout)
    assert report["verified"], report
    assert report["findings"] == []


def test_nothing_a_person_wrote_is_in_the_trail(person: Person, project: str) -> None:
    words = "an-unlikely-word-in-a-prompt"
    task = person.until(person.task(project, f"echo {words} > {words}.txt; echo {words}", title=words))
    _entered(person, task["id"])
    assert words not in person.client.text(f"/v1/audit?task_id={task['id']}&limit=100").decode()
    assert words in person.client.text(f"/v1/tasks/{task['id']}/patch").decode()


def test_others_do_not_see_it(stack: Stack, person: Person, project: str) -> None:
    task = person.until(person.task(project, "true"))
    assert stack.user().client.get("/v1/audit", task_id=task["id"])["entries"] == []
