"""Many rows of the failure matrix at once: agents wait for their model most of the time, so rows are handed in together.

Which script the model plays is told by a mark in the prompt, so every row has its own. Rows are people's: one has five running at a time.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cli.client import Json
from deploy.embedded.scripted.steps import Say, Step
from services.runner.agents import claude_code, codex, opencode
from tests.e2e.failures.rows import Remote, Row, ends
from tests.servers import git_objects
from tests.servers.git import GitServer
from tests.servers.git_objects import Blob
from tests.servers.stack import GIT_TOKEN, MODEL_KEYS, Person, Stack
from tests.servers.stack_fixtures import FILES, ModelThread

AT_A_TIME = 5
"""Of one person's tasks: the others would wait."""
_MARK = re.compile(r"\[row ([a-z0-9 -]+)\]")


@dataclass(frozen=True)
class Kind:
    """An agent as a person names it, and what differs between agents to whoever looks from outside."""

    agent: str
    vendor: str
    preface: str
    """What the agent is told before the person's own words."""


KINDS = (
    Kind("claude-code", "anthropic", claude_code.PREFACE),
    Kind("codex", "openai", codex.PREFACE),
    Kind("opencode", "anthropic", opencode.PREFACE),
)

SLOW = frozenset({"opencode"})
"""Its start alone is seconds of a processor: it gets the rows whose end is the program's own doing, not those that end alike for all."""


@dataclass(frozen=True)
class Case:
    """One row: what is asked, what the model does, how it must end."""

    name: str
    row: Row
    steps: Sequence[Step] = (Say("Done."),)
    kind: Kind = KINDS[0]
    prompt: str = "Do it."
    """The mark stands where `{mark}` does, or behind it, unless it is in it already."""
    limits: Mapping[str, float] = field(default_factory=dict[str, float])
    model: str | None = None
    """That the person asks for; every request must then be for it."""
    key: str | None = None
    """What is stored as the person's key, where it is not the right one."""
    files: Mapping[bytes, Blob] = field(default_factory=dict[bytes, Blob])
    """In the repository beside the usual ones."""
    says: str = ""
    """A pattern that must be found in what the task's messages hold."""
    never_says: str = "planted"
    least_requests: int = 0
    """That the model must have answered or refused; where it is not 0, there must be a cost too."""

    def __str__(self) -> str:
        return f"{self.kind.agent} {self.name}"

    @property
    def mark(self) -> str:
        """By which the scripted model knows its row."""
        return f"[row {self.kind.agent} {self.name}]"

    @property
    def text(self) -> str:
        """The prompt as the person hands it in."""
        text = self.prompt.replace("{mark}", self.mark)
        return text if self.mark in text else f"{text} {self.mark}"


class SideBySide:
    """The tasks of a module's rows, by row."""

    def __init__(self, stack: Stack, model: ModelThread, server: GitServer) -> None:
        self._stack = stack
        self._model = model
        self._server = server
        self._tasks: dict[str, tuple[Person, str, Remote]] = {}
        self._people: dict[tuple[str, str | None], list[tuple[Person, int]]] = {}
        self._repositories: dict[tuple[bytes, ...], str] = {}

    def hand_in(self, cases: Sequence[Case]) -> None:
        """All of them, at once."""
        scripts = {case.mark: case.steps for case in cases}
        self._model.model.play(lambda body: scripts.get(mark_of(body), (Say("Nobody asked."),)))
        for case in cases:
            person, repository = self._person(case), self._repository(case)
            project = person.project(self._server.url(repository))
            options: dict[str, Any] = {"limits": dict(case.limits)} if case.limits else {}
            options |= {"model": case.model} if case.model else {}
            task = person.task(project, case.text, agent=case.kind.agent, **options)
            self._tasks[str(case)] = person, task, Remote(self._server, repository)

    def judged(self, case: Case) -> Json:
        """The case's task, ended as its row says."""
        person, task_id, remote = self._tasks[str(case)]
        task = ends(self._stack, person, task_id, case.row, remote)
        said = self.said(case)
        assert re.search(case.says, said), said
        assert case.never_says not in said, said
        assert (task["usage"] or {"requests": 0})["requests"] >= case.least_requests, task
        if case.least_requests:
            assert task["usage"]["cost_usd"] > 0, task
        if case.model:
            assert {body["model"] for body in self.asked(case)} == {case.model}
        return task

    def said(self, case: Case) -> str:
        """What the task's messages hold."""
        person, task_id, _ = self._tasks[str(case)]
        page: Json = person.client.get(f"/v1/tasks/{task_id}/messages")
        return "\n".join(f"{line['event']['kind']} {line['event']['name']}: {line['event']['text']}" for line in page["messages"])

    def asked(self, case: Case) -> list[Json]:
        """The requests for work that the model got for this case."""
        return [body for body in self._model.model.requests if mark_of(body) == case.mark]

    def path(self, case: Case) -> Path:
        """The repository that the case worked on, as its server holds it."""
        return self._server.path(self._tasks[str(case)][2].name)

    def _person(self, case: Case) -> Person:
        """Somebody with this key and fewer than five tasks."""
        known = self._people.setdefault((case.kind.vendor, case.key), [])
        if not known or known[-1][1] >= AT_A_TIME:
            person = self._stack.user()
            host = f"127.0.0.1:{self._server.port}"
            person.client.post("/v1/credentials", {"purpose": "git_token", "host": host, "value": GIT_TOKEN})
            key = case.key or MODEL_KEYS[case.kind.vendor]
            person.client.post("/v1/credentials", {"purpose": "model_key", "vendor": case.kind.vendor, "value": key})
            known.append((person, 0))
        person, tasks = known.pop()
        known.append((person, tasks + 1))
        return person

    def _repository(self, case: Case) -> str:
        names = tuple(sorted(case.files))
        if names not in self._repositories:
            name = f"side-by-side-{id(self)}-{len(self._repositories)}"
            path = self._server.create(name)
            git_objects.write_commit(path, git_objects.write_tree(path, {**FILES, **case.files}))
            self._server.require_token(name, GIT_TOKEN)
            self._repositories[names] = name
        return self._repositories[names]


def mark_of(body: Json) -> str:
    """The mark in a request's conversation; empty where there is none."""
    found = _MARK.search(json.dumps(body.get("messages") or body.get("input") or ""))
    return found.group() if found else ""


def side_by_side(request: pytest.FixtureRequest, stack: Stack, model: ModelThread, server: GitServer) -> Iterator[SideBySide]:
    """What a module's fixture gives: every row of it that was chosen for this session has been handed in."""
    specs: list[Any] = [getattr(item, "callspec", None) for item in request.session.items if item.path == request.path]
    tasks = SideBySide(stack, model, server)
    chosen = [spec.params.get("case") for spec in specs if spec is not None]
    tasks.hand_in([case for case in chosen if isinstance(case, Case)])
    yield tasks
