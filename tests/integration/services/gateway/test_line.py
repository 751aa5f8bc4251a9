"""A task on its way, as a person sees it: handed in, run, held, approved, published; with real servers around the gateway."""

from shared.blobs import BlobStore
from shared.events import catalogue, facts
from shared.events.changes import ChangesDocument, FileChange
from shared.events.commands import SchedulerApprove, SchedulerCancel, SchedulerReject, SchedulerSubmit
from shared.events.ids import OwnerId, RunId, TaskId, fresh
from shared.events.output import OutputLine, subject
from shared.events.questions import AskRunInput
from shared.events.values import BlobClass, Outcome, Usage

from .stack import Gateway, Person, Service, Task

TREE, BASE, COMMIT = "a" * 40, "b" * 40, "c" * 40


async def commands(service: Service) -> list[object]:
    return [catalogue.parse(message.data).data for message in await service.bus.read("CMD", "cmd.scheduler.>", 0)]


def lines(run: RunId, at: str, count: int) -> list[bytes]:
    said = [
        OutputLine.model_validate(
            {"run_id": run, "fence": 3, "number": number, "at": at, "event": {"kind": "message", "text": f"{number}"}}
        )
        for number in range(1, count + 1)
    ]
    return [line.model_dump_json().encode() for line in said]


async def run(gateway: Gateway, somebody: Person, task: Task, run_id: RunId) -> None:
    """What scheduler, runner and git say until a person has to decide."""
    now = "2026-11-22T12:00:00Z"
    said = lines(run_id, now, 5)
    async with gateway.service("scheduler") as scheduler, gateway.service("runner") as runner, gateway.service("git") as git:
        await scheduler.says(task, facts.TaskQueued())
        await scheduler.says(task, facts.TaskPreparing())
        await scheduler.says(task, facts.TaskRunning(run_id=run_id))
        await runner.says(task, facts.RunStarted(run_id=run_id, fence=3, runner_id="r", image_digest="sha256:0"))
        for number, line in enumerate(said):
            await runner.bus.publish_output(subject(somebody.id, task.id, run_id), line, f"{run_id}.3.{number}")
        await somebody.shown(task, state="running")
        page = await somebody.get(f"/v1/tasks/{task.id}/messages", limit="3")
        assert [line["event"]["text"] for line in page["messages"]] == ["1", "2", "3"]
        page = await somebody.get(f"/v1/tasks/{task.id}/messages", cursor=page["next_cursor"])
        assert [line["number"] for line in page["messages"]] == [4, 5]
        transcript = await BlobStore(runner.bus).put_bytes(BlobClass.TRANSCRIPT, b"\n".join(said) + b"\n")
        ended = facts.RunFinished.model_validate(
            {"run_id": run_id, "fence": 3, "base_sha": BASE, "tree_sha": TREE, "transcript": transcript, "out_first": 1, "out_last": 5}
            | {"usage": Usage(cost_usd=0.25, requests=2), "started_at": now, "finished_at": now}
        )
        await runner.says(task, ended)
        # The same cursor goes on in the transcript.
        await somebody.shown(task, tree_sha=TREE)
        assert (await somebody.get(f"/v1/tasks/{task.id}/messages", cursor=page["next_cursor"]))["messages"] == []
        await scheduler.says(task, facts.TaskPublishing(run_id=run_id))
        blobs = BlobStore(git.bus)
        document = ChangesDocument(base_sha=BASE, tree_sha=TREE, files=(FileChange(path="<script>", status="added", after="x"),))
        changes = await blobs.put_bytes(BlobClass.CHANGES, document.model_dump_json().encode())
        patch = await blobs.put_bytes(BlobClass.CHANGES, b"diff --git a/x b/x\n\xff\xfe")
        counts = {"files": 1, "additions": 1, "deletions": 0, "protected_files": 1}
        await git.says(task, facts.ChangePrepared(run_id=run_id, base_sha=BASE, tree_sha=TREE, patch=patch, changes=changes, **counts))
        await git.says(task, facts.ChangeHeld(run_id=run_id, tree_sha=TREE, reason="protected_paths"))
        await scheduler.says(task, facts.TaskAwaitingApproval(tree_sha=TREE))


async def test_a_task_from_prompt_to_branch(gateway: Gateway, somebody: Person) -> None:
    project = await somebody.project()
    prompt = "Fix the login test\n\n$(reboot) `id` \u2028 <b>"
    made = await somebody.post("/v1/tasks", {"project_id": project, "agent": "shell", "prompt": prompt})
    task = Task(made["id"], somebody.id)
    assert (made["state"], made["title"]) == ("submitted", "Fix the login test")
    assert made["branch"] == f"async-code/{task.id[:8]}-fix-the-login-test"
    assert (await somebody.get(f"/v1/tasks/{task.id}"))["prompt"] == prompt
    assert (await somebody.http.get(f"/v1/tasks/{task.id}/patch")).json()["type"] == "urn:async-code:problem:not-yet"
    refused = await somebody.http.post(f"/v1/tasks/{task.id}/approve", json={"tree_sha": TREE})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:async-code:problem:wrong-state")

    run_id = RunId(fresh())
    await run(gateway, somebody, task, run_id)
    view = await somebody.shown(task, state="awaiting_approval")
    assert view["change"] == {"files": 1, "additions": 1, "deletions": 0, "protected_files": 1, "held_reason": "protected_paths"}
    assert (view["tree_sha"], view["usage"]["cost_usd"], view["run_ids"]) == (TREE, 0.25, [run_id])
    assert (await somebody.get(f"/v1/tasks/{task.id}/changes"))["files"][0]["path"] == "<script>"
    patch = await somebody.http.get(f"/v1/tasks/{task.id}/patch")
    assert patch.content == b"diff --git a/x b/x\n\xff\xfe"
    assert (patch.headers["content-type"], patch.headers["x-content-type-options"]) == ("text/x-diff", "nosniff")

    assert (await somebody.http.post(f"/v1/tasks/{task.id}/approve", json={"tree_sha": BASE})).status_code == 409
    await somebody.post(f"/v1/tasks/{task.id}/approve", {"tree_sha": TREE})
    async with gateway.service("scheduler") as scheduler, gateway.service("git") as git:
        await git.says(task, facts.ChangePublished(run_id=run_id, commit_sha=COMMIT, tree_sha=TREE))
        await scheduler.says(task, facts.TaskSucceeded(outcome=Outcome.PUBLISHED, commit_sha=COMMIT))
        view = await somebody.shown(task, state="succeeded")
        assert (view["outcome"], view["commit_sha"], view["change"]["held_reason"]) == ("published", COMMIT, None)
        for action in ("cancel", "reject"):
            assert (await somebody.http.post(f"/v1/tasks/{task.id}/{action}")).status_code == 409
        submitted, approved = await commands(scheduler)
    assert isinstance(submitted, SchedulerSubmit)
    assert approved == SchedulerApprove(tree_sha=TREE)
    assert "login" not in submitted.model_dump_json()


async def test_lists_are_paged_and_filtered(gateway: Gateway, somebody: Person) -> None:
    project, other = await somebody.project(), await somebody.project()
    tasks = [await somebody.task(project, f"number {number}") for number in range(5)]
    await somebody.task(other)
    seen: list[str] = []
    query = {"project_id": project, "limit": "2"}
    while True:
        page = await somebody.get("/v1/tasks", **query)
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == [task.id for task in reversed(tasks)]
    async with gateway.service("scheduler") as scheduler:
        await scheduler.says(tasks[2], facts.TaskQueued())
        await somebody.shown(tasks[2], state="queued")
        assert [item["id"] for item in (await somebody.get("/v1/tasks", state="queued"))["items"]] == [tasks[2].id]
        assert (await somebody.get(f"/v1/tasks/{tasks[2].id}/messages"))["next_cursor"] is not None
        await somebody.post(f"/v1/tasks/{tasks[2].id}/cancel")
        async with somebody.events(tasks[2]) as events:
            assert (await anext(events)).name == "snapshot"
            await scheduler.says(tasks[2], facts.TaskCancelled())
            assert [(event.name, event.data["state"]) async for event in events] == [("state", "cancelled"), ("end", "cancelled")]
        # Its agent never spoke, and never will: a reader of all pages comes to an end.
        assert await somebody.get(f"/v1/tasks/{tasks[2].id}/messages") == {"messages": [], "next_cursor": None}
        sent = await commands(scheduler)
        assert [command for command in sent if isinstance(command, (SchedulerCancel, SchedulerReject))] == [SchedulerCancel()]
    assert len((await somebody.get("/v1/projects"))["items"]) == 2


async def test_how_an_agent_works_is_as_the_task_says_then_the_project(gateway: Gateway, somebody: Person) -> None:
    await somebody.post("/v1/credentials", {"purpose": "model_key", "value": "k", "vendor": "anthropic"})
    project = await somebody.project()
    path = f"/v1/projects/{project}/agent-defaults/claude-code"
    ours = {"model": "claude-x", "max_turns": 7, "effort": "low", "append_system_prompt": "Planted: be brief."}
    put = await somebody.http.put(path, json=ours)
    assert put.json()["agent_defaults"]["claude-code"] == ours | {"allowed_tools": None}
    task = {"project_id": project, "agent": "claude-code", "prompt": "Do it", "limits": {"max_cost_usd": 1}}
    plain = await somebody.post("/v1/tasks", task)
    assert (plain["model"], plain["limits"]["max_turns"]) == ("claude-x", 7)
    assert plain["agent_options"] == {"effort": "low", "allowed_tools": None}
    own = {"model": "claude-y", "limits": {"max_turns": 9}, "agent_options": {"effort": "max", "allowed_tools": ["Read"]}}
    other = await somebody.post("/v1/tasks", task | own)
    assert (other["model"], other["limits"]["max_turns"]) == ("claude-y", 9)
    assert (await somebody.get(f"/v1/tasks/{other['id']}"))["append_system_prompt"] == "Planted: be brief."
    async with gateway.service("scheduler") as scheduler, gateway.service("runner") as runner:
        found = await commands(scheduler)
        submits = [command for command in found if isinstance(command, SchedulerSubmit)]
        assert [(submit.model, submit.limits.max_turns, submit.agent_options.effort) for submit in submits] == [
            ("claude-x", 7, "low"),
            ("claude-y", 9, "max"),
        ]
        assert all(submit.system_prompt_digest and "brief" not in submit.model_dump_json() for submit in submits)
        question = AskRunInput(owner=OwnerId(somebody.id), task_id=TaskId(other["id"]), run_id=RunId(fresh()))
        assert (await runner.bus.ask(question)).system_prompt == "Planted: be brief."


async def test_an_option_its_agent_does_not_know_is_refused_by_name(somebody: Person, another: Person) -> None:
    project = await somebody.project()
    told = {"append_system_prompt": "x", "effort": "low"}
    task = {"project_id": project, "agent": "shell", "prompt": "true", "agent_options": told}
    refused = await somebody.http.post("/v1/tasks", json=task)
    assert refused.status_code == 422
    fields = [(error["field"], error["rule"]) for error in refused.json()["errors"]]
    assert fields == [("body.agent_options.effort", "unknown_option"), ("body.agent_options.append_system_prompt", "unknown_option")]
    path = f"/v1/projects/{project}/agent-defaults"
    assert (await somebody.http.put(f"{path}/shell", json={"max_turns": 3})).json()["errors"][0]["rule"] == "unknown_option"
    assert (await somebody.http.put(f"{path}/nobody", json={})).json()["errors"][0]["rule"] == "unknown_agent"
    assert (await somebody.http.put(f"{path}/codex", json={"max_turns": 1000})).status_code == 200
    assert (await another.http.put(f"{path}/codex", json={})).status_code == 404
    agents = {agent["name"]: agent for agent in (await somebody.get("/v1/agents"))["items"]}
    assert agents["shell"]["options"] == []
    assert "effort" in agents["codex"]["options"]
