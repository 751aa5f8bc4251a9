"""What each process of the stack holds in memory, before and after many tasks, and how much it grows per task.

PSS: shared pages count by share, so that the sum is what the stack takes (proc(5), smaps_rollup). A process counts with its children.
"""

from collections.abc import Iterator
from pathlib import Path

from benchmarks import line
from benchmarks.figures import LOAD, Answer, Row, Say, load, slope
from benchmarks.line import Place
from tests.servers.stack import Stack

_SAMPLES = 10
Sizes = dict[str, float]
"""MiB by process."""


def measure(stack: Stack, where: Place, idle: Sizes, tasks: int, say: Say) -> Answer:
    """Has `tasks` more tasks done, five at once, and looks ten times on the way. `idle` is what was there before the first."""
    points: list[tuple[int, Sizes]] = [(0, sizes(stack))]
    for sample in range(_SAMPLES):
        some = tasks * (sample + 1) // _SAMPLES - points[-1][0]
        if some:
            line.several(where, some)
            points.append((points[-1][0] + some, sizes(stack)))
            say(f"memory: after {points[-1][0]} of {tasks} tasks {sum(points[-1][1].values()):.0f} MiB")
    rows = [_row(name, idle, points) for name in points[-1][1]]
    total = [(tasks_done, {"all": sum(held.values())}) for tasks_done, held in points]
    rows.append(_row("all", {"all": sum(idle.values())}, total))
    return Answer("memory", "What does the stack hold in memory, and does it grow?", _METHOD, tuple(rows))


def _row(name: str, idle: Sizes, points: list[tuple[int, Sizes]]) -> Row:
    late = points[len(points) // 2 :]  # the first tasks fill caches: a leak is what goes on growing
    return {
        "process": name,
        "idle MiB": idle.get(name, 0.0),
        "after MiB": points[-1][1][name],
        "tasks": points[-1][0],
        "KiB per task, second half": slope([(done, held.get(name, 0.0) * 1024) for done, held in late]),
        LOAD: load(),
    }


def sizes(stack: Stack) -> Sizes:
    """What each process holds now."""
    processes = {line["name"]: int(line["pid"]) for line in stack.status()["processes"] if line.get("pid")}
    return {name: sum(_pss_mib(pid) for pid in _family(pid)) for name, pid in processes.items()}


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from _family(int(child))


def _pss_mib(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("Pss:")), 0.0)


_METHOD = (
    "The stack of the first table, before its first task and after further ones, five at once; PSS of each process with its children, in "
    "MiB. The Docker engine and the sandboxes are not in it. Growth is the slope over the second half of the tasks (least squares): a "
    "cache that fills levels off, a leak does not."
)
