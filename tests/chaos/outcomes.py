"""What must be true of tasks that have ended, whatever was killed meanwhile: each succeeded, and each was published once."""

import threading
import time
from collections import Counter
from collections.abc import Sequence

from cli.client import Json
from tests.servers import git_objects
from tests.servers.git import GitServer
from tests.servers.stack import Person

SEALED_SECONDS = 60.0


def nothing_twice(server: GitServer, repository: str, tasks: Sequence[Json]) -> None:
    """Every task has succeeded, and the repository holds its branch, with what the sandbox wrote, and no other branch."""
    for task in tasks:
        assert (task["state"], task["outcome"]) == ("succeeded", "published"), task
    path = server.path(repository)
    pushed = git_objects.branches(path)
    assert pushed.keys() == {"main", *(task["branch"] for task in tasks)}
    for task in tasks:
        assert pushed[task["branch"]] == task["commit_sha"]
        assert git_objects.tree_of(path, task["branch"]) == task["tree_sha"]


def facts(person: Person, task: str) -> Counter[str]:
    """How often each fact of the task stands in the trail, once its end has reached it: it follows by a moment."""
    deadline, pause = time.monotonic() + SEALED_SECONDS, threading.Event()
    while True:
        page: Json = person.client.get("/v1/audit", task_id=task, limit=100)
        seen = Counter(entry["type"] for entry in page["entries"] if entry["stream"] == "EVT")
        if seen["task.succeeded.v1"] or time.monotonic() > deadline:
            return seen
        pause.wait(0.2)
