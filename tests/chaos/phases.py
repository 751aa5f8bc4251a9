"""Bringing a task into each phase of its life and holding it there, and letting it go on: what the chaos tests fall upon."""

from abc import ABC, abstractmethod
from typing import Final

from cli.client import Json
from deploy.embedded.scripted.steps import Run, Say
from tests.servers.git import GitServer
from tests.servers.stack import Person, Stack
from tests.servers.stack_fixtures import ModelThread

RUNNING_PER_OWNER: Final = 5
SCRIPT: Final = "echo begun; sleep 4; echo done > done.txt"
QUICK: Final = "echo done > done.txt"


class Phase(ABC):
    """One task in one phase. `hold` brings it there; what happens then happens within the phase; `go` lets it go on."""

    def __init__(self, stack: Stack, person: Person, server: GitServer, repository: str, model: ModelThread) -> None:
        self.stack = stack
        self.person = person
        self.server = server
        self.repository = repository
        self.model = model.model

    @abstractmethod
    def hold(self, project: str) -> list[str]:
        """Returns the tasks' ids once the last of them is in the phase."""

    def go(self, tasks: list[str]) -> None:
        """What it waited for happens."""
        del tasks
        self.server.release()


class Queued(Phase):
    """Its owner has as many in work as may be, all of them held at their clone."""

    def hold(self, project: str) -> list[str]:
        """See Phase."""
        self.server.hold()
        tasks = [self.person.task(project, QUICK) for _ in range(RUNNING_PER_OWNER)]
        for task in tasks:
            self.person.until(task, "preparing")
        waiting = self.person.task(project, QUICK)
        self.person.until(waiting, "queued")
        return [*tasks, waiting]


class Preparing(Phase):
    """The repository's server has got the request and does not answer."""

    def hold(self, project: str) -> list[str]:
        """See Phase."""
        self.server.hold()
        task = self.person.task(project, QUICK)
        assert self.server.arrived.wait(60)
        return [task]


class Running(Phase):
    """Its agent has said something and goes on for some seconds."""

    def hold(self, project: str) -> list[str]:
        """See Phase."""
        task = self.person.task(project, SCRIPT)
        next(event for event in self.person.follow(task) if event.name == "output" and event.data["event"]["text"] == "begun")
        return [task]


class Publishing(Phase):
    """The repository's server has got the push and does not answer."""

    def hold(self, project: str) -> list[str]:
        """See Phase."""
        task = self.person.task(project, "echo begun; sleep 1; echo done > done.txt")
        next(event for event in self.person.follow(task) if event.name == "output" and event.data["event"]["text"] == "begun")
        self.server.hold()
        assert self.server.arrived.wait(60)
        return [task]


class AwaitingApproval(Phase):
    """A person has to let the change be pushed."""

    def hold(self, project: str) -> list[str]:
        """See Phase."""
        del project
        asking = self.person.project(self.server.url(self.repository), publish_policy="ask")
        task = self.person.task(asking, QUICK)
        assert self.person.until(task)["state"] == "awaiting_approval"
        return [task]

    def go(self, tasks: list[str]) -> None:
        """See Phase."""
        for task in tasks:
            held: Json = self.person.get(task)
            self.person.client.post(f"/v1/tasks/{task}/approve", {"tree_sha": held["tree_sha"]})


class AwaitingBudget(Phase):
    """Its agent has used up what the task may cost, and a person has to say whether it may cost more."""

    def hold(self, project: str) -> list[str]:
        """See Phase."""
        self.model.play([Run("echo half >> half.txt")])
        task = self.person.task(project, "Do it.", agent="claude-code", limits={"max_cost_usd": 0.01})
        assert self.person.until(task)["state"] == "awaiting_budget"
        return [task]

    def go(self, tasks: list[str]) -> None:
        """See Phase. The agent goes on with its session: the model's answers before the raise count among these."""
        self.model.play([*[Run("echo done > done.txt")] * 7, Say("Done.")])
        for task in tasks:
            self.person.client.post(f"/v1/tasks/{task}/budget", {"max_cost_usd": 5})


PHASES: Final[dict[str, type[Phase]]] = {
    "queued": Queued,
    "preparing": Preparing,
    "running": Running,
    "publishing": Publishing,
    "awaiting approval": AwaitingApproval,
    "awaiting budget": AwaitingBudget,
}
