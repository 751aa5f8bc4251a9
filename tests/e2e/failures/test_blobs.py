"""What a task stands on is no longer stored: it ends with that, and a person knows that trying again is what helps."""

import asyncio

import pytest

from cli import watching
from cli.exits import CliError
from deploy.nats.api import Api
from shared.bus.streams import Stream
from shared.events.failures import FailureClass
from tests.e2e.failures.rows import Remote, Row, ends, frozen
from tests.servers.git import GitServer
from tests.servers.stack import Person, Stack

LOST = Row("failed", FailureClass.SETUP_FAILED, "blob_missing")


def expire(stack: Stack, stream: Stream) -> None:
    """Let everything in a stream grow too old, as the provisioner alone can."""
    asyncio.run(_expire(stack, stream))


async def _expire(stack: Stack, stream: Stream) -> None:
    seed = stack.root / "secrets/operator/nats/nkeys/provisioner.nk"
    api = await Api.connect(f"nats://127.0.0.1:{stack.config['ports']['nats']}", "provisioner", seed, None, 10)
    try:
        config = (await api.call(f"STREAM.INFO.{stream}"))["config"]
        at_once = int(0.1e9)
        await api.call(f"STREAM.UPDATE.{stream}", {**config, "max_age": at_once, "duplicate_window": at_once})
        async with asyncio.timeout(30):
            while (await api.call(f"STREAM.INFO.{stream}"))["state"]["messages"]:  # noqa: ASYNC110 - nobody is told of it
                await asyncio.sleep(0.05)
        await api.call(f"STREAM.UPDATE.{stream}", config)
    finally:
        await api.close()


def test_a_snapshot_that_is_gone_before_the_run(stack: Stack, person: Person, project: str, repository: str, git_server: GitServer) -> None:
    with frozen(stack.pid("runner")):
        task = person.task(project, "echo done > done.txt")
        person.until(task, "running")
        expire(stack, Stream.BLOB_WORKSPACE)
    ends(stack, person, task, LOST, Remote(git_server, repository))


def test_a_result_that_is_gone_before_it_is_published(
    stack: Stack, person: Person, project: str, repository: str, git_server: GitServer
) -> None:
    git = stack.pid("git")  # to ask takes a moment, and the agent waits only for a short one
    task = person.task(project, "echo begun; sleep 4; echo done > done.txt")
    next(event for event in person.follow(task) if event.name == "output" and event.data["event"]["text"] == "begun")
    with frozen(git):
        person.until(task, "publishing")
        expire(stack, Stream.BLOB_RESULT)
    ended = ends(stack, person, task, LOST, Remote(git_server, repository))
    assert ended["change"] is None


def test_a_snapshot_that_is_gone_before_the_change_is_published_is_not_missed(
    stack: Stack, person: Person, project: str, repository: str, git_server: GitServer
) -> None:
    """The mirror has the base still."""
    task = person.task(project, "echo begun; sleep 2; echo done > done.txt")
    next(event for event in person.follow(task) if event.name == "output" and event.data["event"]["text"] == "begun")
    expire(stack, Stream.BLOB_WORKSPACE)
    published = Row("succeeded", outcome="published", kept=True, pushed=True)
    ends(stack, person, task, published, Remote(git_server, repository))


def test_kept_work_that_is_gone_before_it_is_published_by_hand(
    stack: Stack, person: Person, project: str, repository: str, git_server: GitServer
) -> None:
    task = person.task(project, "echo half > half.txt; exit 1")
    half = ends(stack, person, task, Row("failed", FailureClass.AGENT_FAILED, "agent_exit", kept=True), Remote(git_server, repository))
    expire(stack, Stream.BLOB_RESULT)
    person.client.post(f"/v1/tasks/{task}/publish", {})
    watching.until_heard(person.client, half)
    ended = ends(stack, person, task, LOST, Remote(git_server, repository))
    assert ended["kept"] is None
    with pytest.raises(CliError) as refused:
        person.client.post(f"/v1/tasks/{task}/publish", {})
    assert str(refused.value.problem["type"]).endswith(":nothing-kept")


def test_what_a_task_said_and_made_is_gone_after_its_time_and_the_rest_of_it_is_there(stack: Stack, person: Person, project: str) -> None:
    task = person.until(person.task(project, "echo begun; echo done > done.txt"))
    assert (task["state"], task["outcome"]) == ("succeeded", "published"), task
    for stream in (Stream.BLOB_TRANSCRIPT, Stream.BLOB_CHANGES):
        expire(stack, stream)
    for what in ("messages", "changes", "patch"):
        with pytest.raises(CliError) as gone:
            person.client.get(f"/v1/tasks/{task['id']}/{what}")
        problem = gone.value.problem
        assert (problem["status"], problem["detail"]) == (410, "The content was kept for a while and is not there any more."), what
        assert "Nothing brings it back." in problem["advice"]
    assert person.get(task["id"]) == task
