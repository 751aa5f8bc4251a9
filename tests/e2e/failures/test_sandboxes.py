"""What can go wrong in a sandbox, end to end: the task ends as it should, says why, keeps what there is, and leaves nothing behind."""

from dataclasses import dataclass, field

import pytest

from shared.events.failures import FailureClass
from tests.e2e.failures.rows import Remote, Row, ends
from tests.servers.git import GitServer
from tests.servers.stack import Person, Stack

SMALL = {"memory_mib": 256, "disk_mib": 32, "pids": 64, "wall_seconds": 60, "idle_seconds": 60}
KEEP = "echo kept > kept.txt; "
TOO_MUCH_MEMORY = "python3 -c 'x = bytearray(4 << 30)'"
# Each refused process is waited for, so that some are refused while the limit is reached, whatever ends meanwhile.
TOO_MANY_PROCESSES = """python3 -c 'import subprocess
while True: subprocess.Popen(["sleep", "600"])'"""
HOLDS_ALL_PROCESSES = """exec python3 -c 'import subprocess, time
while True:
    try: subprocess.Popen(["sleep", "600"])
    except OSError: time.sleep(0.01)'"""

PUBLISHED = Row("succeeded", outcome="published", kept=True, pushed=True)


def failed(failure_class: FailureClass, code: str, *, kept: bool = True) -> Row:
    return Row("failed", failure_class, code, kept=kept)


def late(code: str) -> Row:
    return Row("timed_out", FailureClass.TIME_LIMIT, code, kept=True)


@dataclass(frozen=True)
class Case:
    """What the agent does, within which limits, how its task must end, and what its log must say."""

    script: str
    row: Row
    limits: dict[str, int] = field(default_factory=dict[str, int])
    said: str = ""


CASES = {
    "wall time": Case(KEEP + "while :; do echo tick; sleep 0.2; done", late("wall_time"), {"wall_seconds": 2}, "stopped: wall_time"),
    "idle time": Case(KEEP + "sleep 600", late("idle_time"), {"idle_seconds": 2}, "stopped: idle_time"),
    "ignores every signal it can": Case(
        KEEP + "trap '' TERM HUP INT; (trap '' TERM; setsid sleep 600) & while :; do sleep 600 || :; done",
        late("idle_time"),
        {"idle_seconds": 2},
    ),
    "goes on speaking after its end": Case(
        KEEP + "(trap '' HUP TERM PIPE; while :; do echo more || :; done) & sleep 0.2", PUBLISHED, {"wall_seconds": 30}, "exit code 0"
    ),
    "ends with an error": Case(KEEP + "echo why >&2; exit 3", failed(FailureClass.AGENT_FAILED, "agent_exit"), said="why"),
    "kills itself": Case(KEEP + "kill -9 $$", failed(FailureClass.AGENT_FAILED, "agent_killed"), said="exit code 137"),
    "runs out of memory": Case(KEEP + "exec " + TOO_MUCH_MEMORY, failed(FailureClass.OUT_OF_MEMORY, "out_of_memory")),
    "a child runs out of memory and it fails": Case(
        KEEP + f"{TOO_MUCH_MEMORY} || exit 1", failed(FailureClass.OUT_OF_MEMORY, "out_of_memory")
    ),
    "a child runs out of memory and it goes on": Case(f"{TOO_MUCH_MEMORY} || :; " + KEEP, PUBLISHED),
    "fills the workspace": Case(KEEP + "head -c 100M /dev/zero > big", failed(FailureClass.DISK_FULL, "disk_full")),
    "fills /tmp": Case(KEEP + "head -c 100M /dev/zero > /tmp/big", failed(FailureClass.DISK_FULL, "disk_full")),
    "fills its home": Case(KEEP + "head -c 100M /dev/zero > ~/big", failed(FailureClass.DISK_FULL, "disk_full")),
    "fills a disk and goes on": Case("head -c 100M /dev/zero > /tmp/big || :; " + KEEP, PUBLISHED),
    "takes every process": Case(
        KEEP + TOO_MANY_PROCESSES, failed(FailureClass.OUT_OF_PROCESSES, "pids_exhausted"), said="Resource temporarily unavailable"
    ),
    "takes every process and holds them": Case(KEEP + HOLDS_ALL_PROCESSES, late("idle_time"), {"idle_seconds": 3}),
    "takes every process and goes on": Case(f"{TOO_MANY_PROCESSES} || :; pkill sleep; " + KEEP, PUBLISHED),
    "makes more than a result may hold": Case(
        "head -c 500M /dev/urandom > big",
        failed(FailureClass.DISK_FULL, "result_too_large", kept=False),
        {"disk_mib": 640},
        "result_too_large",
    ),
}


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_an_agent_that(case: Case, stack: Stack, person: Person, project: str, repository: str, git_server: GitServer) -> None:
    task = person.task(project, case.script, limits=SMALL | case.limits)
    ends(stack, person, task, case.row, Remote(git_server, repository))
    assert case.said in log_of(person, task)


def test_an_agent_that_says_more_than_is_kept(stack: Stack, person: Person, project: str, repository: str, git_server: GitServer) -> None:
    """It goes on, and so does its task; what was left out is counted where the log ends."""
    script = "(yes 0123456789012345678901234567890123456789 || :) | head -c 60M; echo end; " + KEEP
    task = person.task(project, script, limits=SMALL)
    ends(stack, person, task, PUBLISHED, Remote(git_server, repository))
    last = log_of(person, task)[-400:]
    assert "The agent said more than is kept: " in last
    assert "bytes were left out." in last


def log_of(person: Person, task: str) -> str:
    """The end of what the agent, and we about it, said."""
    cursor: dict[str, str] = {}
    said = ""
    while True:
        page = person.client.get(f"/v1/tasks/{task}/messages", limit=500, **cursor)
        said = said[-100_000:] + "\n".join(line["event"]["text"] for line in page["messages"]) + "\n"
        if page["next_cursor"] is None:
            return said
        cursor = {"cursor": page["next_cursor"]}
