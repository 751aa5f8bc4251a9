"""The line: how long each phase of a task takes, from handing it in to hearing that it is published, beside the same work by hand.

Clocks: facts and the runner's log carry the wall clock of the service that says them, the agent's script prints its own, the client reads
its own; it is one machine, so all of them are one clock. By hand: `git clone --depth`, `docker run` with the clone mounted, `git commit`,
`git push`.
"""

import contextlib
import json
import subprocess
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.figures import LOAD, Answer, Row, Say, load, median, milliseconds, ratio
from cli import events
from cli.client import Client
from deploy.embedded.state import Layout
from deploy.images import recipe
from deploy.images.settings import ImageSettings
from tests.servers import git_objects
from tests.servers.git import GitServer
from tests.servers.git_objects import Blob
from tests.servers.stack import Person, Stack

SETTINGS = {"SIGNUP": "true", "GIT_ALLOW_PROTOCOLS": "https,http", "GIT_ALLOW_NETWORKS": "127.0.0.0/8", "RUNNER_SLOTS": "5"}
"""Of the stack that is measured: five slots, so that five tasks run at once."""
AT_ONCE = 5
_BY_HAND_EVERY = 5
_REST_SECONDS = 1.5
"""Between tasks that are to find a warm sandbox: the pool refills itself a second after a start."""
_REFILL_SECONDS = 60.0
_LOOK_SECONDS = 0.25
_LOG_END_BYTES = 256 * 1024
_FILES = 40
_SCRIPT = "date +%s.%N; echo changed > changed.txt; echo more >> file7.txt"
_IMAGE = recipe.tags(ImageSettings()).agents["shell"]
_PHASES = (
    ("handed in → accepted", "sent", "accepted"),
    ("accepted → prepared", "accepted", "workspace.prepared.v1"),
    ("prepared → sandbox up", "workspace.prepared.v1", "run.started.v1"),
    ("sandbox up → agent process", "run.started.v1", "process"),
    ("agent process → finished", "process", "run.finished.v1"),
    ("finished → published", "run.finished.v1", "change.published.v1"),
    ("published → told", "change.published.v1", "told"),
)
_SPANS = (
    ("accepted → agent process", "accepted", "process"),
    ("runner takes the command → agent process", "taken", "process"),
    ("handed in → told", "sent", "told"),
)

Moments = dict[str, float]
"""When what happened to one task, in seconds since 1970. `warm` only where a sandbox was made beforehand."""


@dataclass(frozen=True)
class Place:
    """Where tasks are handed in."""

    person: Person
    project: str
    url: str
    log: Path
    """The runner's."""


@contextlib.contextmanager
def running(**settings: str) -> Generator[Stack]:
    """A stack as an operator starts it, with production's durability."""
    stack = Stack(SETTINGS | settings)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()
        stack.remove()


def place(stack: Stack, server: GitServer, name: str = "measured") -> Place:
    """A new person's project on a small repository of that server."""
    path = server.create(name)
    files = {f"file{number}.txt".encode(): Blob(f"line {number}\n".encode() * 50) for number in range(_FILES)}
    git_objects.write_commit(path, git_objects.write_tree(path, files))
    person = stack.user()
    return Place(person, person.project(server.url(name)), server.url(name), Layout(stack.root).log("runner"))


def measure(where: Place, tasks: int, say: Say) -> Answer:
    """Phases of `tasks` tasks one at a time, with the same by hand now and then, and of as many five at once."""
    one(where)  # the first of a repository fetches all of it, and tells the pool of its kind
    alone, by_hand = list[Moments](), list[float]()
    for number in range(tasks):
        _rest(where.log)
        alone.append(one(where))
        if number % _BY_HAND_EVERY == 0:
            by_hand.append(_by_hand(where.url, number))
            say(f"line: {number + 1} of {tasks}, {alone[-1]['told'] - alone[-1]['sent']:.2f} s, by hand {by_hand[-1]:.2f} s")
    warm = [moments for moments in alone if "warm" in moments]
    rows = _rows("one at a time, warm", warm)
    if len(warm) < len(alone):
        say(f"line: {len(alone) - len(warm)} of {tasks} found no warm sandbox, and are not in the first rows")
    rows.append({"how": "one at a time, warm", "what": "the same by hand", **milliseconds(by_hand), LOAD: load()})
    whole = median([moments["told"] - moments["sent"] for moments in alone])
    rows.append(
        {"how": "one at a time, warm", "what": "ours / by hand", "p50 ms": None, "p99 ms": None, "n": len(by_hand)}
        | {"ratio": ratio(whole, median(by_hand)), LOAD: load()}
    )
    began = time.monotonic()
    together = several(where, tasks)
    rows += _rows("five at once", together)
    per_second = len(together) / (time.monotonic() - began)
    say(f"line: five at once, {per_second:.2f} tasks a second")
    rows.append({"how": "five at once", "what": "tasks a second", "n": len(together), "ratio": per_second, LOAD: load()})
    return Answer("line", "How long does each phase of a task take?", _METHOD, tuple(_complete(rows)))


def cold(server: GitServer, tasks: int, say: Say) -> Answer:
    """Phases of `tasks` tasks one at a time, on a stack that makes no sandbox beforehand."""
    with running(RUNNER_WARM="0") as stack:
        where = place(stack, server, "cold")
        one(where)
        alone = [one(where) for _ in range(tasks)]
    say(f"cold: {tasks} tasks, none of which found a sandbox")
    return Answer(
        "cold", "How long does each phase of a task take without a warm sandbox?", _COLD_METHOD, tuple(_complete(_rows("cold", alone)))
    )


def several(where: Place, tasks: int) -> list[Moments]:
    """That many tasks, five at a time."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(one, [where] * tasks))


def one(where: Place) -> Moments:
    """One task from handing in to its end; raises when it did not publish."""
    client = where.person.client
    moments: Moments = {"sent": time.time()}
    task = where.person.task(where.project, _SCRIPT)
    moments["accepted"] = time.time()
    ended = next(event.data for event in where.person.follow(task) if event.name == "end")
    moments["told"] = time.time()
    if ended["outcome"] != "published":
        raise RuntimeError(f"a measured task ended otherwise: {ended}")
    return moments | _facts(client, task) | _logged(where.log, task)


def _facts(client: Client, task: str) -> Moments:
    """What the task's stream tells from its beginning on."""
    moments: Moments = {}
    with client.stream(f"/v1/tasks/{task}/events", {"last-event-id": "0.0"}) as answer:
        for event in events.parse(events.lines(answer.iter_bytes())):
            if event.name in {"fact", "state"}:
                moments[event.data["type"]] = datetime.fromisoformat(event.data["at"]).timestamp()
            elif event.name == "output" and event.data["event"]["kind"] != "status":
                moments.setdefault("process", float(str(event.data["event"]["text"]).split()[0]))
    return moments


def _rest(log: Path) -> None:
    """Returns when the pool has made a sandbox that nobody has taken."""
    deadline = time.monotonic() + _REFILL_SECONDS
    time.sleep(_REST_SECONDS)
    while (lately := [told["event"] for told in _told(log, "warm_sandbox_")])[-1:] != ["warm_sandbox_made"]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the pool does not refill itself: {lately[-1:]}")
        time.sleep(_LOOK_SECONDS)


def _told(log: Path, about: str) -> list[dict[str, Any]]:
    """The latest lines of the runner's log that mention it."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LOG_END_BYTES))
        return [json.loads(line) for line in file.read().splitlines() if line.startswith(b"{") and about.encode() in line]


def _logged(log: Path, task: str) -> Moments:
    """When the runner took the task's command, and whether a sandbox waited for it."""
    told = _told(log, task)
    at = {line["event"]: datetime.fromisoformat(line["timestamp"]).timestamp() for line in told}
    return {"taken": at["command_taken"]} | ({"warm": at["warm_sandbox_used"]} if "warm_sandbox_used" in at else {})


def _rows(how: str, tasks: list[Moments]) -> list[Row]:
    return [
        {"how": how, "what": name, **milliseconds([task[end] - task[begin] for task in tasks]), LOAD: load()}
        for name, begin, end in (*_PHASES, *_SPANS)
    ]


def _complete(rows: list[Row]) -> list[Row]:
    columns = ("how", "what", "p50 ms", "p99 ms", "n", "ratio", LOAD)
    return [{column: row.get(column) for column in columns} for row in rows]


def _by_hand(url: str, number: int) -> float:
    """Seconds that a person's own commands take for the same work."""
    with TemporaryDirectory(prefix="async-code-by-hand-") as directory:
        clone = Path(directory) / "clone"
        began = time.monotonic()
        _command("git", "clone", "--quiet", "--depth", "50", url, str(clone))
        clone.chmod(0o777)
        _command("chmod", "-R", "a+rwX", str(clone))
        _command("docker", "run", "--rm", "--network", "none", "--user", "10001", "--volume", f"{clone}:/workspace", "--workdir",
                 "/workspace", _IMAGE, "/bin/bash", "-c", _SCRIPT)  # fmt: skip
        mine = ("git", "-C", str(clone), "-c", "user.name=n", "-c", "user.email=n@example.org", "-c", f"safe.directory={clone}")
        _command(*mine, "add", "--all")
        _command(*mine, "commit", "--quiet", "--message", "By hand")
        _command(*mine, "push", "--quiet", "origin", f"HEAD:refs/heads/by-hand-{number}-{time.time_ns()}")
        return time.monotonic() - began


def _command(*argv: str) -> Any:
    return subprocess.run(("/usr/bin/env", *argv), check=True, capture_output=True)


_METHOD = (
    "`shell` tasks on a repository of 40 files, served over HTTP by a git server on the same machine; the whole embedded stack. "
    "Wall clock of one machine: the client's for handed in, accepted and told, the services' own in their facts and, for when the runner "
    "takes the command, in its log; the agent's script prints when it runs. One at a time each finds a sandbox that was made beforehand (a "
    "pause lets the pool refill), five at once most do not. By hand: `git clone --depth 50`, `docker run` with the clone mounted, "
    "`git commit`, `git push`, every fifth task."
)
_COLD_METHOD = "The same tasks, one at a time, on a stack of its own with `RUNNER_WARM=0`: each makes its container when it needs it."
