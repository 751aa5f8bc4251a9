"""A project's environment through the whole line: made once, used by the next task, no part of a change, and named where it fails."""

import json
from typing import Any

from cli.client import Json
from tests.servers.stack import MODEL_KEYS, Person

SCRIPT = "echo PLANTED-SCRIPT $(cat app.py); test ! -e run.sh; env; ls -A /run/egress; mkdir -p lib; cp app.py lib/made.py"
SAID = {"setup_script": SCRIPT, "directories": ["lib"], "lock_files": ["app.py"]}


def _messages(person: Person, task: Json) -> list[Json]:
    return [message["event"] for message in person.client.get(f"/v1/tasks/{task['id']}/messages", limit=500)["messages"]]


def _set(person: Person, project: str, **said: Any) -> Json:
    return person.client.put(f"/v1/projects/{project}/environment", SAID | said)


def test_it_is_made_once_used_again_and_never_published(person: Person, project: str) -> None:
    digest = _set(person, project)["digest"]
    use = "cat lib/made.py; echo '!lib/' > .gitignore; echo changed > lib/made.py; cp .gitignore made.txt"
    first, second = (person.until(person.task(project, use)) for _ in range(2))
    for task, cached in ((first, False), (second, True)):
        assert (task["state"], task["outcome"]) == ("succeeded", "published"), task
        assert (task["environment"]["state"], task["environment"]["cached"]) == ("ready", cached)
        changes = json.loads(person.client.text(f"/v1/tasks/{task['id']}/changes"))
        assert sorted(change["path"] for change in changes["files"]) == [".gitignore", "made.txt"]
        assert "print('hello')" in "".join(event["text"] for event in _messages(person, task) if event["name"] != "setup")
    setup = "\n".join(event["text"] for event in _messages(person, first) if event["name"] == "setup")
    assert "PLANTED-SCRIPT print('hello')" in setup
    assert not any(secret in setup for secret in (*MODEL_KEYS.values(), "model.sock", "TOKEN", "API_KEY"))
    assert not [event for event in _messages(person, second) if event["name"] == "setup"]
    trail = json.dumps(list(person.client.pages("/v1/audit", key="entries", task_id=first["id"], limit=500)))
    assert digest in trail
    assert "PLANTED-SCRIPT" not in trail


def test_what_goes_wrong_is_named_before_an_agent_begins(person: Person, project: str) -> None:
    for said, code in (
        ({"setup_script": "echo not found; exit 7"}, "setup_exit"),
        ({"setup_script": "sleep 600", "timeout_seconds": 1}, "setup_timeout"),
        ({"directories": ["dir"]}, "setup_directory_tracked"),
        ({"setup_script": "true"}, "setup_directory_missing"),
    ):
        _set(person, project, **said)
        task = person.until(person.task(project, "echo the agent ran"))
        assert (task["state"], task["failure"]["failure_class"], task["failure"]["code"]) == ("failed", "setup_failed", code)
        assert task["environment"]["state"] == "failed"
        assert task["started_at"] is None
        assert not any("the agent ran" in event["text"] for event in _messages(person, task))
    person.client.delete(f"/v1/projects/{project}/environment")
    task = person.until(person.task(project, "test ! -e lib; echo x > x"))
    assert (task["state"], task["environment"]) == ("succeeded", None)
