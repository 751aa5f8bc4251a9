"""What other services are told about a task, and when no longer."""

import asyncio

import pytest

from shared.bus.errors import Refused
from shared.events import facts
from shared.events.ids import CredentialId, OwnerId, RepositoryId, RunId, TaskId, fresh
from shared.events.questions import AskPublication, AskRunInput, AskSealedCredential, AskWorkspaceSource

from .stack import Gateway, Person, Task


async def test_of_a_task_that_has_ended_nothing_is_told(gateway: Gateway, somebody: Person) -> None:
    project = await somebody.project("https://example.com/team/one.git")
    token = await somebody.post("/v1/credentials", {"purpose": "git_token", "value": "planted-git-token", "host": "example.com"})
    made = await somebody.post("/v1/tasks", {"project_id": project, "agent": "shell", "prompt": "Do it"})
    owner, task, repository = OwnerId(somebody.id), TaskId(made["id"]), RepositoryId(made["repository_id"])
    about_git = (
        AskWorkspaceSource(owner=owner, task_id=task, repository_id=repository),
        AskPublication(owner=owner, task_id=task, repository_id=repository),
        AskSealedCredential(owner=owner, task_id=task, credential_id=CredentialId(token["id"]), version=1),
    )
    about_run = AskRunInput(owner=owner, task_id=task, run_id=RunId(fresh()))
    async with gateway.service("git") as git, gateway.service("runner") as runner, gateway.service("scheduler") as scheduler:
        for question in about_git:
            await git.bus.ask(question)
        await runner.bus.ask(about_run)
        await scheduler.says(Task(task, somebody.id), facts.TaskCancelled())
        async with asyncio.timeout(20):
            while not (await somebody.get("/v1/tasks", state="cancelled"))[
                "items"
            ]:  # as stored: one task alone is shown as new as its facts
                pass
        for question in about_git:
            with pytest.raises(Refused, match="not_found"):
                await git.bus.ask(question)
        with pytest.raises(Refused, match="not_found"):
            await runner.bus.ask(about_run)
