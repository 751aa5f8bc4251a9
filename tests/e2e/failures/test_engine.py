"""The Docker engine fails under the line: runs wait for it or are attempted again, once each, and nothing is left of the first attempt.

And its images are not what they should be: one is missing, one holds another program than its agent's.

With an engine of these tests' own: everybody else's goes on.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.images import recipe
from deploy.images.build import ensure_images
from deploy.images.settings import ImageSettings
from shared.events.failures import FailureClass
from tests.e2e.failures.rows import Remote, Row, ends
from tests.e2e.failures.test_agents import SUCCESS
from tests.servers.docker import Engine, own_engine
from tests.servers.git import GitServer
from tests.servers.stack import Person, Stack

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts an engine")

PUBLISHED = Row("succeeded", outcome="published", kept=True, pushed=True)
SCRIPT = "echo begun; sleep 4; echo done > done.txt"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    image = ensure_images(lambda _: None, ["shell"])["shell"]
    with own_engine(image) as engine, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", engine.host)  # of the client by which tests look for what is left
        yield engine


@pytest.fixture(scope="module")
def stack(engine: Engine) -> Iterator[Stack]:
    """In the place of everybody's: a stack on that engine."""
    stack = Stack(
        {
            "SIGNUP": "true",
            "GIT_ALLOW_PROTOCOLS": "https,http",
            "GIT_ALLOW_NETWORKS": "127.0.0.0/8",
            "LEASE_TTL_SECONDS": "6",
            "DOCKER_HOST": engine.host,
        }
    )
    stack.up()
    yield stack
    stack.down()
    assert engine.containers() == []
    stack.remove()


@pytest.fixture
def remote(git_server: GitServer, repository: str) -> Remote:
    return Remote(git_server, repository)


def begun(person: Person, project: str) -> str:
    """A task whose agent has begun."""
    task = person.task(project, SCRIPT)
    next(event for event in person.follow(task) if event.name == "output" and event.data["event"]["text"] == "begun")
    return task


def told_of_one_end(person: Person, task: str) -> list[str]:
    """What the trail says of the runs of a task that has ended."""
    next(event for event in person.follow(task) if event.name == "end")
    entries = person.client.get("/v1/audit", task_id=task, limit=100)["entries"]
    return [entry["type"] for entry in entries if entry["stream"] == "EVT" and entry["type"].startswith("run.")]


def test_an_image_that_is_missing(stack: Stack, person: Person, project: str, remote: Remote) -> None:
    task = person.task(project, "do", agent="claude-code")
    ends(stack, person, task, Row("failed", FailureClass.SETUP_FAILED, "image_missing"), remote)


def test_a_program_in_the_agents_place_that_never_asks_a_model(
    engine: Engine, stack: Stack, person: Person, project: str, remote: Remote, tmp_path: Path
) -> None:
    """Exit code 0 and a line that reads like success: the door has seen no answer, and that counts."""
    program = tmp_path / "codex"
    program.write_text(f"#!/bin/bash\necho half > half.txt\nprintf '%s\\n' '{SUCCESS['codex']}'\n")
    program.chmod(0o755)
    images = recipe.tags(ImageSettings()).agents
    engine.counterfeit(images["shell"], images["codex"], program)
    task = person.task(project, "Do it.", agent="codex")
    ended = ends(stack, person, task, Row("failed", FailureClass.AGENT_FAILED, "model_not_asked", kept=True), remote)
    assert ended["usage"]["requests"] == 0


def test_an_engine_that_is_down_when_a_run_is_to_start(engine: Engine, stack: Stack, person: Person, project: str, remote: Remote) -> None:
    engine.stop()
    task = person.task(project, SCRIPT)
    person.until(task, "running")
    assert stack.status()["state"] == "degraded"
    engine.start()
    ends(stack, person, task, PUBLISHED, remote)


@pytest.mark.parametrize("crash", [False, True], ids=["stops", "is killed"])
def test_an_engine_that_goes_and_comes_back_under_a_run(
    engine: Engine, stack: Stack, person: Person, project: str, remote: Remote, *, crash: bool
) -> None:
    task = begun(person, project)
    engine.kill() if crash else engine.stop()
    engine.start()
    ended = ends(stack, person, task, PUBLISHED, remote)
    assert len(ended["run_ids"]) == 1
    assert stack.containers() == []
    said = [line["event"]["text"] for line in person.client.get(f"/v1/tasks/{task}/messages")["messages"]]
    assert said.count("begun") == 1  # the transcript is the attempt's that counts


def test_a_run_that_is_cancelled_while_its_engine_is_away(
    engine: Engine, stack: Stack, person: Person, project: str, remote: Remote
) -> None:
    task = begun(person, project)
    engine.stop()
    person.client.post(f"/v1/tasks/{task}/cancel", {})
    ended = person.until(task, "cancelled", "failed", "succeeded")
    engine.start()
    assert ended["state"] == "cancelled"
    ends(stack, person, task, Row("cancelled"), remote)
