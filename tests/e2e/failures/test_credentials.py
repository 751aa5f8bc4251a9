"""A key or a token that is taken back while its task is on the way: the task ends with that, at the step that needed it."""

from collections.abc import Generator
from contextlib import contextmanager

import pytest

from shared.events.failures import FailureClass as Is
from tests.e2e.failures.rows import Remote, Row, ends, frozen
from tests.e2e.failures.side_by_side import KINDS, Kind
from tests.servers.git import GitServer
from tests.servers.stack import Person, Stack

NO_SNAPSHOT = Row("failed", Is.CLONE_REFUSED, "repository_auth")
NO_KEY = Row("failed", Is.MODEL_REFUSED, "credential_missing")
NO_PUSH = Row("failed", Is.PUSH_REFUSED, "push_auth", kept=True)


@contextmanager
def held(server: GitServer) -> Generator[None]:
    """Whoever asks the repository's host waits meanwhile."""
    server.hold()
    try:
        yield
    finally:
        server.release()


def take_back(person: Person, purpose: str) -> None:
    """Forget every credential of this purpose."""
    for credential in person.client.get("/v1/credentials")["items"]:
        if credential["purpose"] == purpose:
            person.client.delete(f"/v1/credentials/{credential['id']}")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.agent)
def test_a_model_key_that_is_taken_back_before_the_run(
    kind: Kind, stack: Stack, person: Person, project: str, repository: str, git_server: GitServer
) -> None:
    with held(git_server):
        task = person.task(project, "Do it.", agent=kind.agent)
        assert git_server.arrived.wait(timeout=60)
        take_back(person, "model_key")
    ended = ends(stack, person, task, NO_KEY, Remote(git_server, repository))
    assert ended["usage"] is None or ended["usage"]["requests"] == 0


def test_a_token_that_is_taken_back_before_the_snapshot(
    stack: Stack, person: Person, project: str, repository: str, git_server: GitServer
) -> None:
    with frozen(stack.pid("git")):
        task = person.task(project, "true")
        person.until(task, "preparing")
        take_back(person, "git_token")
    ended = ends(stack, person, task, NO_SNAPSHOT, Remote(git_server, repository))
    assert ended["run_ids"] == []


@pytest.mark.usefixtures("project")
def test_a_token_that_is_taken_back_before_the_push(stack: Stack, person: Person, repository: str, git_server: GitServer) -> None:
    asking = person.project(git_server.url(repository), publish_policy="ask")
    task = person.task(asking, "echo done > done.txt")
    waiting = person.until(task, "awaiting_approval")
    take_back(person, "git_token")
    person.client.post(f"/v1/tasks/{task}/approve", {"tree_sha": waiting["tree_sha"]})
    person.until(task, "succeeded", "failed")
    ends(stack, person, task, NO_PUSH, Remote(git_server, repository))
    assert b"done" in person.client.text(f"/v1/tasks/{task}/patch")  # the work stays reviewable
