"""A project's environment: said by a person, kept as it was for the tasks that were handed in, told to the runner alone."""

import asyncio

import pytest

from shared.events import catalogue
from shared.events.commands import SchedulerSubmit
from shared.events.ids import OwnerId, RunId, TaskId, fresh
from shared.events.questions import AskRunInput

from .stack import Gateway, Person

SCRIPT = "npm ci # PLANTED-WORDS"


async def _put(somebody: Person, project: str, **said: object) -> dict[str, object]:
    answer = await somebody.http.put(f"/v1/projects/{project}/environment", json=said)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_task_keeps_the_version_that_held_when_it_was_handed_in(gateway: Gateway, somebody: Person, another: Person) -> None:
    project = await somebody.project()
    path = f"/v1/projects/{project}/environment"
    assert (await somebody.http.get(path)).status_code == 404
    said = {"setup_script": SCRIPT, "directories": ["node_modules", "/home/agent/.npm"], "lock_files": ["*.json"]}
    first = await _put(somebody, project, **said)
    assert first["directories"] == ["/workspace/node_modules", "/home/agent/.npm"]
    assert (await _put(somebody, project, **said))["digest"] == first["digest"], "said again it is the same version"
    task = await somebody.task(project)
    assert (await somebody.get(f"/v1/projects/{project}"))["environment_digest"] == first["digest"]
    second = await _put(somebody, project, **(said | {"timeout_seconds": 60}))
    assert second["digest"] != first["digest"]
    for request in (another.http.get(path), another.http.put(path, json=said), another.http.delete(path)):
        assert (await request).status_code == 404
    async with gateway.service("runner") as runner:
        question = AskRunInput(owner=OwnerId(task.owner), task_id=TaskId(task.id), run_id=RunId(fresh()))
        told = await runner.bus.ask(question)
    assert told.environment is not None
    assert (told.environment.setup_script, told.environment.timeout_seconds) == (SCRIPT, 600)
    assert (await somebody.http.delete(path)).status_code == 204
    assert (await somebody.get(f"/v1/projects/{project}"))["environment_digest"] is None
    async with gateway.service("scheduler") as scheduler, asyncio.timeout(20):
        while len(facts := await scheduler.bus.read("EVT", "evt.project.changed.>", 0)) < 3:
            pass
        sent = await scheduler.bus.read("CMD", "cmd.scheduler.submit.>", 0)
    submits = [catalogue.parse(message.data).data for message in sent]
    assert [submit.environment for submit in submits if isinstance(submit, SchedulerSubmit)] == [first["digest"]]
    assert all(b"PLANTED-WORDS" not in message.data and b"node_modules" not in message.data for message in (*sent, *facts))


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        ({"setup_script": "true"}, "environment_directories"),
        ({"setup_script": "true", "directories": ["../x"]}, "path"),
        ({"setup_script": "true", "directories": ["/etc"]}, "place"),
        ({"setup_script": "true\0", "directories": ["x"]}, "no_nul"),
        ({"setup_script": "é" * 40_000, "directories": ["x"]}, "script_too_long"),
        ({"image": "alpine:latest"}, "image_not_allowed"),
        ({}, "environment_empty"),
    ],
)
async def test_what_cannot_be_is_refused_by_name(somebody: Person, said: dict[str, object], rule: str) -> None:
    project = await somebody.project()
    answer = await somebody.http.put(f"/v1/projects/{project}/environment", json=said)
    assert (answer.status_code, [error["rule"] for error in answer.json()["errors"]]) == (422, [rule]), answer.text
