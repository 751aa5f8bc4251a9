"""From the project's list to the task's page: what a sandbox may install it installs, and what it may not is shown and in the trail."""

import base64
import json
import time

from cli.client import Json
from tests.servers.stack import Person

SCRIPT = """
python3 -m pip download --quiet --no-deps --dest /tmp/got demo && ls /tmp/got > got.txt
python3 - <<'END'
import urllib.error, urllib.request
for asked in ("GET npm/demo", "PUT pip/legacy/", "GET pip/simple/demo/?secret", "GET go/attacker.example/x/@latest"):
    method, path = asked.split()
    try:
        urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:8090/packages/" + path, method=method))
        print("LET THROUGH", path)
    except urllib.error.HTTPError as error:
        print(error.read().decode())
END
"""


def test_a_task_installs_what_its_project_allows_and_shows_what_it_was_refused(person: Person, project: str) -> None:
    person.client.patch(f"/v1/projects/{project}", {"allow_packages": ["pip", "go"]})
    task = person.until(person.task(project, SCRIPT))
    assert (task["state"], task["outcome"]) == ("succeeded", "published"), task
    assert {(each["ecosystem"], each["reason"], each["times"]) for each in task["refused"]} == {
        ("npm", "ecosystem_denied", 1),
        ("pip", "method_denied", 1),
        ("pip", "query_denied", 1),
        ("go", "module_host_denied", 1),
    }
    entries = [entry for entry in _trail(person, task["id"]) if entry["type"] == "egress.refused.v1"]
    assert len(entries) == 4
    refused = [json.loads(base64.b64decode(entry["data"])) for entry in entries]
    assert {fact["data"]["reason"] for fact in refused} == {each["reason"] for each in task["refused"]}
    assert "attacker.example" not in json.dumps(refused), "what an agent wrote is not kept for ever"


def _trail(person: Person, task: str) -> list[Json]:
    """What the trail has of it, once its end has come in."""
    deadline = time.monotonic() + 30
    while True:
        entries: list[Json] = person.client.get("/v1/audit", task_id=task, limit=100)["entries"]
        if any(entry["type"] == "task.succeeded.v1" for entry in entries) or time.monotonic() > deadline:
            return entries


def test_nobody_s_packages_are_read_by_default(person: Person, project: str) -> None:
    task = person.until(person.task(project, "! python3 -m pip download --quiet demo 2>/dev/null && test ! -e /run/egress/model.sock"))
    assert (task["state"], task["outcome"], task["refused"]) == ("succeeded", "no_changes", []), task
