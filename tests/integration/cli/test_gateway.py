"""The command line against the real gateway and the real auth server; the other services are told what to say."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cli.exits import Exit
from shared.blobs import BlobStore
from shared.events import facts
from shared.events.ids import RunId, fresh
from shared.events.output import AgentEvent, OutputLine, subject
from shared.events.values import BlobClass, Outcome
from tests.integration.services.gateway.conftest import gateway
from tests.integration.services.gateway.stack import PASSWORD, Gateway, Service, Task

from .command import Person

__all__ = ["gateway"]

TREE, BASE, COMMIT = "a" * 40, "b" * 40, "c" * 40
PATCH = b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\r\n"


class Somebody:
    """Somebody at a command line."""

    def __init__(self, person: Person) -> None:
        self.person = person

    async def tries(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        return await asyncio.to_thread(lambda: self.person.run(*arguments, stdin=stdin))

    async def runs(self, *arguments: str, stdin: str = "") -> Any:
        done = await self.tries(*arguments, stdin=stdin)
        assert done.returncode == 0, done
        return json.loads(done.stdout)


@pytest.fixture
async def somebody(gateway: Gateway, tmp_path: Path) -> Somebody:
    """Signed up, signed in, with a project."""
    async with gateway.person("test"):
        somebody = Somebody(Person(tmp_path / "somebody", gateway.url))
    somebody.person.home.mkdir()
    await somebody.runs("login", "--email", "test@example.com", "--password-file", "-", stdin=PASSWORD)
    await somebody.runs("project", "create", "web", "--policy", "ask", "--protect", "deploy/**")
    await somebody.runs("repository", "add", "https://example.com/team/web.git", "-p", "web", "--base", "develop")
    return somebody


async def test_a_machine_works_with_its_token_until_that_is_revoked(somebody: Somebody, tmp_path: Path) -> None:
    scopes = ("--scope", "tasks:read,tasks:write", "--scope", "projects:read")
    made = await somebody.runs("token", "create", "--name", "ci", *scopes, "--expires", "1h")
    robot = Person(tmp_path / "robot", somebody.person.server)
    robot.home.mkdir()

    async def tries(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return await asyncio.to_thread(lambda: robot.run(*arguments, ASYNC_CODE_TOKEN=made["token"]))

    assert json.loads((await tries("whoami")).stdout)["scopes"] == made["scopes"]
    task = json.loads((await tries("task", "create", "-p", "web", "--agent", "shell", "true")).stdout)
    refused = await tries("audit", "list")
    assert (refused.returncode, "audit:read" in refused.stderr) == (Exit.REFUSED, True)
    assert (await tries("task", "approve", task["id"], "--yes", "--tree", "0" * 40)).returncode != Exit.OK
    assert (await tries("token", "list")).returncode == Exit.REFUSED
    (listed,) = await somebody.runs("token", "list")
    assert (listed["id"], listed["last_used_at"] is not None, "token" in listed) == (made["id"], True, False)
    await somebody.runs("token", "revoke", made["id"][:8])
    ended = await tries("task", "list")
    assert (ended.returncode, "ASYNC_CODE_TOKEN" in ended.stderr) == (Exit.NOT_SIGNED_IN, True)
    assert not robot.session_file.exists()


async def test_what_a_project_s_sandboxes_may_read_is_set_by_name(somebody: Somebody) -> None:
    assert (await somebody.runs("project", "set", "web", "--allow", "npm, pip"))["allow_packages"] == ["pip", "npm"]
    assert (await somebody.runs("project", "set", "web"))["allow_packages"] == ["pip", "npm"]
    assert (await somebody.tries("project", "set", "web", "--allow", "maven")).returncode == Exit.REFUSED
    assert (await somebody.runs("project", "set", "web", "--allow", "none"))["allow_packages"] == []


async def handed_in(somebody: Somebody) -> Task:
    made = await somebody.runs("task", "create", "-p", "web", "-a", "shell", "--limit", "wall_seconds=60", "echo hello")
    assert (made["state"], made["limits"]["wall_seconds"], made["base_ref"]) == ("submitted", 60, "develop")
    return Task(made["id"], (await somebody.runs("whoami"))["id"])


async def until_held(gateway: Gateway, task: Task, run: RunId) -> None:
    """What the services say until a person has to decide."""
    async with gateway.service("scheduler") as scheduler, gateway.service("runner") as runner, gateway.service("git") as git:
        for fact in (facts.TaskQueued(), facts.TaskPreparing(), facts.TaskRunning(run_id=run)):
            await scheduler.says(task, fact)
        await runner.says(task, facts.RunStarted(run_id=run, fence=1, runner_id="r", image_digest="sha256:0"))
        said = OutputLine.model_validate(
            {
                "run_id": run,
                "fence": 1,
                "number": 1,
                "at": "2026-11-22T12:00:00Z",
                "event": AgentEvent(kind="message", text="a\u2028\x1b[31m"),
            }
        )
        await runner.bus.publish_output(subject(task.owner, task.id, run), said.model_dump_json().encode(), f"{run}.1.1")
        await scheduler.says(task, facts.TaskPublishing(run_id=run))
        await _prepared(git, task, run)
        await git.says(task, facts.ChangeHeld(run_id=run, tree_sha=TREE, reason="policy"))
        await scheduler.says(task, facts.TaskAwaitingApproval(tree_sha=TREE))


async def _prepared(git: Service, task: Task, run: RunId) -> None:
    patch = await BlobStore(git.bus).put_bytes(BlobClass.CHANGES, PATCH)
    counts = {"files": 1, "additions": 1, "deletions": 1, "protected_files": 0}
    shas = {"base_sha": BASE, "tree_sha": TREE, "run_id": run}
    await git.says(task, facts.ChangePrepared.model_validate({**shas, **counts, "patch": patch, "changes": patch}))


async def test_a_task_from_the_prompt_to_the_branch(gateway: Gateway, somebody: Somebody) -> None:
    task, run = await handed_in(somebody), RunId(fresh())
    watching = asyncio.create_task(somebody.tries("task", "watch", task.id[:8]))
    await until_held(gateway, task, run)
    watched = await watching
    assert watched.returncode == Exit.TASK_WAITS, watched
    events = [json.loads(line) for line in watched.stdout.splitlines()]
    assert events[0]["event"] == "snapshot"
    assert "awaiting_approval" in {event["data"].get("state") for event in events}
    assert [event["data"]["event"]["text"] for event in events if event["event"] == "output"] == ["a\u2028\x1b[31m"]
    assert [line["event"]["text"] for line in map(json.loads, (await somebody.tries("task", "log", task.id)).stdout.splitlines())] == [
        "a\u2028\x1b[31m"
    ]
    assert (await asyncio.to_thread(lambda: somebody.person.start("task", "diff", task.id).communicate()))[0] == PATCH
    assert [item["id"] for item in await somebody.runs("task", "list", "--state", "awaiting_approval", "-p", "web")] == [task.id]
    wrong = await somebody.tries("task", "approve", task.id, "--yes", "--tree", "d" * 40)
    assert wrong.returncode == Exit.REFUSED
    await somebody.runs("task", "approve", task.id, "--yes", "--tree", TREE)
    async with gateway.service("scheduler") as scheduler, gateway.service("git") as git:
        await git.says(task, facts.ChangePublished(run_id=run, commit_sha=COMMIT, tree_sha=TREE))
        await scheduler.says(task, facts.TaskSucceeded(outcome=Outcome.PUBLISHED, commit_sha=COMMIT))
    ended = await somebody.tries("task", "watch", task.id)
    assert (ended.returncode, json.loads(ended.stdout.splitlines()[-1])["data"]["commit_sha"]) == (0, COMMIT)
    again = await somebody.tries("task", "cancel", task.id)
    assert again.returncode == Exit.REFUSED


async def test_credentials_are_stored_listed_and_deleted_and_never_shown(somebody: Somebody) -> None:
    stored = await somebody.runs(
        "credential", "add", "git_token", "--host", "example.com", "--label", "mine", "-p", "web", "--file", "-", stdin="planted-1\n"
    )
    assert (await somebody.runs("credential", "list")) == [stored]
    assert "planted" not in json.dumps(stored)
    assert (await somebody.runs("credential", "delete", stored["id"][:13])) == {"deleted": stored["id"]}
    refused = await somebody.tries("credential", "add", "model_key", "--vendor", "nobody", "--file", "-", stdin="planted-2")
    assert refused.returncode == Exit.REFUSED
    assert "vendor: must be one of" in refused.stderr


async def test_what_is_wrong_is_named_by_its_field(somebody: Somebody) -> None:
    blank = await somebody.tries("task", "create", "-p", "web", " ")
    assert (blank.returncode, blank.stderr) == (Exit.REFUSED, "async-code: prompt: must say something\n")
    limit = await somebody.tries("task", "create", "-p", "web", "--limit", "wall_seconds=0", "--json", "x")
    document = json.loads(limit.stderr)
    assert (document["status"], document["exit_code"], document["errors"][0]["field"]) == (422, 6, "body.limits.wall_seconds")


async def test_anothers_things_are_not_there(gateway: Gateway, somebody: Somebody, tmp_path: Path) -> None:
    task = await handed_in(somebody)
    async with gateway.person("another"):
        another = Somebody(Person(tmp_path / "another", gateway.url))
    another.person.home.mkdir()
    await another.runs("login", "--email", "another@example.com", "--password-file", "-", stdin=PASSWORD)
    for arguments in (["show"], ["watch"], ["log"], ["diff"], ["cancel"], ["approve"], ["reject"], ["publish"], ["discard", "--yes"]):
        for name in (task.id, task.id[:8]):
            done = await another.tries("task", *arguments, name)
            assert done.returncode == Exit.NOT_FOUND, done


async def test_signing_out_ends_the_session_at_the_server(somebody: Somebody) -> None:
    kept = somebody.person.session_file.read_text()
    assert (await somebody.runs("logout"))["ended_at_server"] is True
    assert (await somebody.tries("whoami")).returncode == Exit.NOT_SIGNED_IN
    session = json.loads(kept)
    for stored in session.values():
        stored["expires_at"] = 0
    somebody.person.session_file.write_text(json.dumps(session))
    assert (await somebody.tries("whoami")).returncode == Exit.NOT_SIGNED_IN


async def test_many_commands_renew_one_session_at_the_real_auth_server(somebody: Somebody) -> None:
    session = json.loads(somebody.person.session_file.read_text())
    for stored in session.values():
        stored["expires_at"] = 0
    somebody.person.session_file.write_text(json.dumps(session))
    done = await asyncio.gather(*(somebody.tries("whoami") for _ in range(4)))
    assert [each.returncode for each in done] == [0] * 4
    assert (await somebody.tries("project", "list")).returncode == 0


async def test_a_watch_outlives_a_gateway_that_is_killed(gateway: Gateway, somebody: Somebody) -> None:
    task, run = await handed_in(somebody), RunId(fresh())
    watching = await asyncio.to_thread(somebody.person.start, "task", "watch", task.id)
    assert watching.stdout
    assert json.loads(await asyncio.to_thread(watching.stdout.readline))["event"] == "snapshot"
    await gateway.kill()
    await gateway.start()
    await until_held(gateway, task, run)
    output, errors = await asyncio.to_thread(watching.communicate)
    assert (watching.returncode, errors) == (Exit.TASK_WAITS, b"")
    states = [json.loads(line)["data"]["state"] for line in output.splitlines() if json.loads(line)["event"] == "state"]
    assert states == ["queued", "preparing", "running", "publishing", "awaiting_approval"]
