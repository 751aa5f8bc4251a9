"""Publishing by hand at the edge: what may be asked for when, what the scheduler is told, and what others are told of a reopened task."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.bus.errors import Refused
from shared.events import catalogue, facts
from shared.events.commands import SchedulerDiscard, SchedulerPublish
from shared.events.failures import failure
from shared.events.ids import CredentialId, OwnerId, RepositoryId, RunId, TaskId, fresh
from shared.events.payload import Fact
from shared.events.questions import AskPublication, AskRunInput, AskSealedCredential, AskWorkspaceSource
from shared.events.values import Kept, Outcome

from .stack import Gateway, Json, Person, Service, Task

TREE, OTHER = "a" * 40, "b" * 40
RUN = RunId(fresh())


def failed(kept_seconds: float = 3_600) -> Fact:
    kept = Kept(tree_sha=TREE, size_bytes=7, expires_at=datetime.now(UTC) + timedelta(seconds=kept_seconds))
    return facts.TaskFailed(failure=failure("agent_exit"), kept=kept)


async def by_hand(service: Service) -> list[SchedulerPublish | SchedulerDiscard]:
    """What the scheduler was told, besides the submit."""
    stored = [catalogue.parse(message.data).data for message in await service.bus.read("CMD", "cmd.scheduler.>", 0)]
    return [command for command in stored if isinstance(command, SchedulerPublish | SchedulerDiscard)]


async def refused(somebody: Person, task: Task, action: str, body: Json | None = None) -> tuple[int, str]:
    answer = await somebody.http.post(f"/v1/tasks/{task.id}/{action}", json=body or {})
    problem: dict[str, Any] = answer.json()
    assert problem["advice"]
    return answer.status_code, problem["type"].rpartition(":")[2]


async def test_only_what_is_kept_can_be_published_or_discarded(gateway: Gateway, somebody: Person, another: Person) -> None:
    task = await somebody.task()
    async with gateway.service("scheduler") as scheduler:
        for action in ("publish", "discard"):
            assert await refused(somebody, task, action) == (409, "wrong-state")  # it has not ended
            assert await refused(another, task, action) == (404, "not-found")
        await scheduler.says(task, facts.TaskCancelled())
        await somebody.shown(task, state="cancelled", kept=None)
        for action in ("publish", "discard"):
            assert await refused(somebody, task, action) == (409, "nothing-kept")
        await scheduler.says(task, facts.WorkKept(run_id=RUN, kept=Kept(tree_sha=TREE, size_bytes=7, expires_at=datetime.now(UTC))))
        for action in ("publish", "discard"):
            assert await refused(somebody, task, action) == (409, "nothing-kept")  # its time is over
        await scheduler.says(task, failed())
        assert (await somebody.shown(task, state="failed"))["kept"]["tree_sha"] == TREE
        assert await refused(somebody, task, "publish", {"tree_sha": OTHER}) == (409, "wrong-state")
        assert await refused(somebody, task, "publish", {"tree_sha": "main"}) == (422, "invalid")
        assert await refused(somebody, task, "publish", {"credential_id": fresh()}) == (422, "invalid")
        assert await by_hand(scheduler) == []
        assert (await somebody.http.post(f"/v1/tasks/{task.id}/publish")).status_code == 202  # it needs no body
        key = {"idempotency-key": "one"}
        first = await somebody.post(f"/v1/tasks/{task.id}/publish", {"tree_sha": TREE}, **key)
        assert await somebody.post(f"/v1/tasks/{task.id}/publish", {"tree_sha": TREE}, **key) == first
        assert (await somebody.http.post(f"/v1/tasks/{task.id}/publish", json={}, headers=key)).status_code == 422
        await somebody.post(f"/v1/tasks/{task.id}/discard")
        sent = [SchedulerPublish(), SchedulerPublish(tree_sha=TREE), SchedulerDiscard()]
        while len(told := await by_hand(scheduler)) < len(sent):
            pass
        assert told == sent
        await scheduler.says(task, facts.TaskPublishing(run_id=RUN))
        assert await refused(somebody, task, "publish") == (409, "wrong-state")
        await scheduler.says(task, facts.TaskSucceeded(outcome=Outcome.PUBLISHED, commit_sha=OTHER))
        await somebody.shown(task, state="succeeded", kept=None, failure=None)
        for action in ("publish", "discard", "cancel"):
            assert await refused(somebody, task, action) == (409, "wrong-state")


async def test_of_a_reopened_task_only_what_its_push_needs_is_told(gateway: Gateway, somebody: Person) -> None:
    project = await somebody.project("https://example.com/team/one.git")
    key = await somebody.post("/v1/credentials", {"purpose": "model_key", "value": "planted-model-key", "vendor": "anthropic"})
    made = await somebody.post("/v1/tasks", {"project_id": project, "agent": "claude-code", "prompt": "Do it"})
    owner, task, repository = OwnerId(somebody.id), TaskId(made["id"]), RepositoryId(made["repository_id"])
    of_the_task = Task(task, somebody.id)
    publication = AskPublication(owner=owner, task_id=task, repository_id=repository)
    model_key = AskSealedCredential(owner=owner, task_id=task, credential_id=CredentialId(key["id"]), version=1)
    async with gateway.service("git") as git, gateway.service("runner") as runner, gateway.service("scheduler") as scheduler:
        await runner.bus.ask(model_key)
        for _ in range(5):
            await scheduler.says(of_the_task, failed())
            await somebody.shown(of_the_task, state="failed")
            with pytest.raises(Refused, match="not_found"):
                await git.bus.ask(publication)
            await scheduler.says(of_the_task, facts.TaskPublishing(run_id=RUN))
            await git.bus.ask(publication)  # at once: the command to push follows its fact before anybody has folded that
        # A token that was stored since, because the push was refused without one.
        await scheduler.says(of_the_task, failed())
        token = await somebody.post("/v1/credentials", {"purpose": "git_token", "value": "planted-git-token", "host": "example.com"})
        assert await refused(somebody, of_the_task, "publish", {"credential_id": key["id"]}) == (422, "invalid")
        await somebody.post(f"/v1/tasks/{task}/publish")
        while not (told := await by_hand(scheduler)):
            pass
        assert told[0].model_dump()["credential"] == {"credential_id": token["id"], "version": 1, "purpose": "git_token"}
        await scheduler.says(of_the_task, facts.TaskPublishing(run_id=RUN))
        await git.bus.ask(AskSealedCredential(owner=owner, task_id=task, credential_id=CredentialId(token["id"]), version=1))
        for service, question in (
            (git, AskWorkspaceSource(owner=owner, task_id=task, repository_id=repository)),
            (runner, AskRunInput(owner=owner, task_id=task, run_id=RUN)),
            (runner, model_key),
        ):
            with pytest.raises(Refused, match="not_found"):
                await service.bus.ask(question)
