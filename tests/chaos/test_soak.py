"""The long form: many tasks of several people while, every few seconds, one process at random is killed. Nothing is lost, nothing twice.

`make chaos`. CHAOS_TASKS, CHAOS_SEED and CHAOS_PAUSE (seconds between kills, at most) change it; what was seen is printed as JSON.
"""

import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Self

import pytest

from cli.client import Json
from cli.exits import CliError
from deploy.embedded.state import Layout
from shared.events import ids
from shared.events.values import ENDED
from tests.chaos.outcomes import facts, nothing_twice
from tests.chaos.test_kills import PROCESSES
from tests.servers import git_objects
from tests.servers.git import GitServer
from tests.servers.stack import GIT_TOKEN, Person, Stack
from tests.servers.stack_fixtures import FILES

pytestmark = [
    pytest.mark.skipif(os.environ.get("CHAOS") != "full", reason="long: runs by `make chaos`"),
    pytest.mark.timeout(4 * 3_600),
]
TASKS = int(os.environ.get("CHAOS_TASKS", "200"))
PEOPLE = 4
PATIENCE_SECONDS = 1_800.0
SCRIPT = "echo begun; sleep {pause}; echo {number} > done-{number}.txt"


@dataclass
class Killer:
    """Kills a process of the stack picked at random, again and again, while inside."""

    stack: Stack
    chance: random.Random
    killed: Counter[str] = field(default_factory=Counter[str])

    def __enter__(self) -> Self:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._kill)
        self._thread.start()
        return self

    def __exit__(self, *_about: object) -> None:
        self._over.set()
        self._thread.join()

    def _kill(self) -> None:
        longest = float(os.environ.get("CHAOS_PAUSE", "12"))
        while not self._over.wait(self.chance.uniform(longest / 3, longest)):
            stored = json.loads(Layout(self.stack.root).status.read_text())
            pids = {line["name"]: line["pid"] for line in stored["processes"] if line["name"] in PROCESSES and line["pid"]}
            name = self.chance.choice(sorted(pids))
            try:
                os.kill(pids[name], 9)
            except ProcessLookupError:
                continue  # it died of itself just now, as what loses its database may
            self.killed[name] += 1


def persistently(person: Person, method: str, path: str, body: Json | None = None) -> Json:
    """Ask until somebody answers: under one key, so that what was asked for happens once."""
    headers = {"idempotency-key": ids.fresh()} if method == "POST" else None
    deadline = time.monotonic() + PATIENCE_SECONDS
    pause = threading.Event()
    while True:
        try:
            return person.client.request(method, path, body=body, headers=headers)
        except CliError as error:
            status = int(error.problem.get("status") or 0)
            if time.monotonic() > deadline or (400 <= status < 500 and status not in {401, 409, 429}):
                raise
        pause.wait(0.5)


def test_many_tasks_while_everything_is_killed(stack: Stack, git_server: GitServer) -> None:
    seed = int(os.environ.get("CHAOS_SEED", str(time.time_ns() % 1_000_000)))
    chance = random.Random(seed)  # noqa: S311 - chance, not a secret
    people = [stack.user() for _ in range(PEOPLE)]
    projects = [_project(git_server, person, f"soak-{number}") for number, person in enumerate(people)]
    began = time.monotonic()

    def hand_in(number: int) -> str:
        script = SCRIPT.format(number=number, pause=round(chance.uniform(0, 1.5), 2))
        body = {"project_id": projects[number % PEOPLE], "prompt": script, "agent": "shell"}
        return str(persistently(people[number % PEOPLE], "POST", "/v1/tasks", body)["id"])

    def ended(number: int, task: str) -> Json:
        deadline, pause = time.monotonic() + PATIENCE_SECONDS, threading.Event()
        while (found := persistently(people[number % PEOPLE], "GET", f"/v1/tasks/{task}"))["state"] not in ENDED:
            assert time.monotonic() < deadline, f"stuck: {found}"
            pause.wait(2)
        return found

    with Killer(stack, chance) as killer:
        handed_in = [hand_in(number) for number in range(TASKS)]
        tasks = [ended(number, task) for number, task in enumerate(handed_in)]
    took = time.monotonic() - began
    stack.up()
    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(facts, (people[number % PEOPLE] for number in range(TASKS)), handed_in))
    figures = {"seed": seed, "tasks": TASKS, "seconds": round(took, 1), **_figures(killer, tasks, seen)}
    print(json.dumps(figures, indent=1))  # noqa: T201 - the figures are what it is run for
    for number in range(PEOPLE):
        nothing_twice(git_server, f"soak-{number}", tasks[number::PEOPLE])
    assert figures["published twice"] == figures["ended twice"] == 0
    assert stack.containers() == []
    report = json.loads(stack.command("audit", "verify", "--json").stdout)
    assert report["verified"], report


def _figures(killer: Killer, tasks: Sequence[Json], seen: Sequence[Counter[str]]) -> Json:
    return {
        "kills": killer.killed.total(),
        "killed": dict(sorted(killer.killed.items())),
        "ended": dict(Counter(str(task["state"]) for task in tasks)),
        "failures": dict(Counter(str(task["failure"]["code"]) for task in tasks if task["failure"])),
        "attempts beyond the first": sum(max(one["run.started.v1"] - 1, 0) for one in seen),
        "published twice": sum(one["change.published.v1"] > 1 for one in seen),
        "ended twice": sum(one["task.succeeded.v1"] > 1 for one in seen),
    }


def _project(server: GitServer, person: Person, name: str) -> str:
    path = server.create(name)
    git_objects.write_commit(path, git_objects.write_tree(path, FILES))
    server.require_token(name, GIT_TOKEN)
    person.client.post("/v1/credentials", {"purpose": "git_token", "host": f"127.0.0.1:{server.port}", "value": GIT_TOKEN})
    return person.project(server.url(name))
