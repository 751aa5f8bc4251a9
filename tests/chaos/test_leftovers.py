"""Many runs in a row, with agents, containers, the egress process and the runner killed at random: nothing of them is left afterwards.

CI runs a few; `make chaos` 200 (CHAOS_RUNS, CHAOS_SEED). How tasks end is not judged here but that they do: test_soak.py judges it.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from deploy.embedded.scripted.steps import Run, Say
from deploy.embedded.state import Layout
from shared.events.values import ENDED
from tests.chaos.test_soak import persistently
from tests.servers.git import GitServer
from tests.servers.stack import Person, Stack
from tests.servers.stack_fixtures import ModelThread

RUNS = int(os.environ.get("CHAOS_RUNS", "200" if os.environ.get("CHAOS") == "full" else "20"))
AT_ONCE = 5
KILLS = RUNS * 3 // 2
"""As many as may be: on a busy machine a run takes longer than the time between two, and none would ever end."""
PATIENCE_SECONDS = 900.0
SWEPT_SECONDS = 180.0
"""The runner looks every half minute, and removes what it sees twice."""
AGENT_UID = 10_001
pytestmark = pytest.mark.timeout(4 * 3_600)


@dataclass
class Killer:
    """Kills what a run is made of, picked at random, again and again, while inside."""

    stack: Stack
    chance: random.Random
    killed: Counter[str] = field(default_factory=Counter[str])
    seen: set[str] = field(default_factory=set[str])
    """Every container that was seen at work."""
    volumes: set[str] = field(default_factory=set[str])

    def __enter__(self) -> Self:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._kill)
        self._thread.start()
        return self

    def __exit__(self, *_about: object) -> None:
        self._over.set()
        self._thread.join()

    def _kill(self) -> None:
        while self.killed.total() < KILLS and not self._over.wait(self.chance.uniform(2, 6)):
            containers = self.stack.containers()
            self.seen |= set(containers)
            victim = self.chance.choice(["agent", "agent", "container", "container", "egress", "runner"])
            with contextlib.suppress(ProcessLookupError, subprocess.CalledProcessError):  # it ended of itself just now
                if victim in {"egress", "runner"}:
                    os.kill(self._pid(victim), signal.SIGKILL)
                elif containers:
                    self._fall_upon(victim, self.chance.choice(sorted(containers)))
                else:
                    continue
                self.killed[victim] += 1

    def _pid(self, process: str) -> int:
        stored = json.loads(Layout(self.stack.root).status.read_text())
        pids = [line["pid"] for line in stored["processes"] if line["name"] == process and line["pid"]]
        if not pids:
            raise ProcessLookupError
        return int(pids[0])

    def _fall_upon(self, victim: str, container: str) -> None:
        mounts = json.loads(docker("inspect", "--format", "{{json .Mounts}}", container))
        self.volumes |= {str(mount["Name"]) for mount in mounts if mount["Type"] == "volume"}
        if victim == "container":
            docker("kill", container)
            return
        rows = [line.split() for line in docker("top", container, "-eo", "pid,uid").splitlines()[1:]]
        agents = [int(pid) for pid, uid in rows if int(uid) == AGENT_UID]
        if not agents:
            raise ProcessLookupError
        os.kill(self.chance.choice(agents), signal.SIGKILL)


def docker(*arguments: str) -> str:
    ran = subprocess.run(["/usr/bin/env", "docker", *arguments], check=True, capture_output=True, text=True)
    return ran.stdout


def left(stack: Stack, seen: set[str]) -> dict[str, set[str]]:
    """What there is of runs: containers, files and processes."""
    layout = Layout(stack.root)
    waited_in = _waiting(stack, "running", "Mounts")
    files = [path for service in ("runner", "egress") for path in layout.data(service).rglob("*")] + list(layout.sockets.rglob("*"))
    commands = [_command(process) for process in Path("/proc").glob("[0-9]*")]
    return {
        "containers": set(stack.containers()) | _waiting(stack, "exited", "ID"),
        # Last words are kept on purpose, and bounded: tests/unit/services/runner/test_last_words.py.
        # Sandboxes that wait come and go, each with a place of its own: one that no sandbox has is left over.
        "files": {str(path) for path in files if "sandboxes" not in path.parts and not waited_in & {str(path), *map(str, path.parents)}},
        "processes": {container for container in seen if any(container in command for command in commands)},
        "engine": {container for container in seen if (Path("/var/lib/docker/containers") / container).exists()},
    }


def settled(stack: Stack, seen: set[str], good: Callable[[dict[str, set[str]]], bool]) -> dict[str, set[str]]:
    """What is left once it is good, or once the time for sweeping is over."""
    pause = threading.Event()
    deadline = time.monotonic() + SWEPT_SECONDS
    while not good(found := left(stack, seen)) and time.monotonic() < deadline:
        pause.wait(2)
    return found


def _waiting(stack: Stack, status: str, column: str) -> set[str]:
    """What the engine says in this column of the sandboxes that wait for a run."""
    label = f"label=async-code.deployment={stack.config['deployment']}"
    filters = [f"--filter={each}" for each in (label, "name=async-code-warm-", f"status={status}")]
    listed = docker("ps", "--all", "--no-trunc", *filters, "--format", "{{." + column + "}}")
    return {value for line in listed.splitlines() for value in line.split(",") if value}


def _command(process: Path) -> str:
    """Of a container's process its control group names it, of the engine's own beside it the command line."""
    try:
        return (process / "cmdline").read_text(errors="replace") + (process / "cgroup").read_text()
    except OSError:
        return ""


def test_nothing_is_left_of_killed_runs(stack: Stack, person: Person, project: str, git_server: GitServer, model: ModelThread) -> None:
    del git_server
    model.model.play([Run("sleep 2"), Say("Done.")])
    seed = int(os.environ.get("CHAOS_SEED", str(time.time_ns() % 1_000_000)))
    chance = random.Random(seed)  # noqa: S311 - chance, not a secret
    pause = threading.Event()

    def hand_in(number: int) -> str:
        agent = "claude-code" if number % 2 else "shell"
        script = f"echo begun; sleep {chance.uniform(0, 3):.2f}; echo {number} > done-{number}.txt"
        return str(persistently(person, "POST", "/v1/tasks", {"project_id": project, "prompt": script, "agent": agent})["id"])

    def ended(task: str) -> str:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (found := persistently(person, "GET", f"/v1/tasks/{task}"))["state"] not in ENDED:
            assert time.monotonic() < deadline, f"stuck: {found}"
            pause.wait(0.5)
        return str(found["state"])

    for number in range(2):  # what the first run of each kind makes for good
        ended(hand_in(number))
    before = settled(stack, set(), lambda found: not any("/sockets/" in file for file in found["files"]))
    with Killer(stack, chance) as killer:
        waiting: list[str] = []
        states: Counter[str] = Counter()
        for number in range(RUNS):
            waiting.append(hand_in(number))
            if len(waiting) == AT_ONCE or number == RUNS - 1:
                states.update(ended(task) for task in waiting)
                waiting.clear()
    stack.up()
    after = settled(stack, killer.seen, lambda found: found == before)
    figures = {"seed": seed, "runs": RUNS, "killed": dict(killer.killed), "ended": dict(states), "containers": len(killer.seen)}
    print(json.dumps(figures))  # noqa: T201 - the figures are what it is run for
    assert after == before, figures
    assert killer.volumes == set()
