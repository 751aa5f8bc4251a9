"""`python -m benchmarks`: asks every question and writes `docs/performance.md` and `docs/performance.json`. As root, with a Docker engine.

`--quick` asks each a little, to see that it can be asked; its figures say nothing, so they are printed and not written.
"""

import argparse
import asyncio
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import blobs, edge, line, machine, memory, page, sandbox, trail
from benchmarks.figures import Answer, Say
from deploy.images.build import ensure_images
from tests.servers.git import GitServer
from tests.servers.stack import Stack

_DOCS = Path(__file__).parents[1] / "docs"


@dataclass(frozen=True)
class Extent:
    """How much of each is done."""

    line_tasks: int = 100
    cold_tasks: int = 30
    memory_tasks: int = 300
    """In all: those of the line count."""
    sandboxes: sandbox.Extent = field(default_factory=sandbox.Extent)
    trail_events: int = 20_000
    trail_rounds: int = 3
    blob_mib: tuple[int, ...] = (1, 20, 200)
    blob_rounds: int = 5
    edge_seconds: float = 10
    edge_rounds: int = 3


QUICK = Extent(
    line_tasks=2,
    cold_tasks=1,
    memory_tasks=6,
    sandboxes=sandbox.Extent(runs=1, at_once=2, sizes_mb=(1,), rounds=1),
    trail_events=1_000,
    trail_rounds=1,
    blob_mib=(1,),
    blob_rounds=1,
    edge_seconds=0.5,
    edge_rounds=1,
)
"""Seconds: it shows that every question can still be asked."""
ORDER = ("line", "cold", "memory", "sandbox", "trail", "blobs", "edge")

Ask = Callable[[], Answer]


def of_stack(stack: Stack, server: GitServer, extent: Extent, say: Say) -> dict[str, Ask]:
    """The questions that need the whole stack, in this order."""
    idle = memory.sizes(stack)
    where = line.place(stack, server)
    return {
        "line": lambda: line.measure(where, extent.line_tasks, say),
        "memory": lambda: memory.measure(stack, where, idle, max(0, extent.memory_tasks - 2 * extent.line_tasks), say),
    }


def of_parts(extent: Extent, say: Say) -> dict[str, Ask]:
    """The questions that need a part of it alone, or start what they need."""
    return {
        "sandbox": lambda: asyncio.run(sandbox.measure(extent.sandboxes, say)),
        "trail": lambda: asyncio.run(trail.measure(extent.trail_events, extent.trail_rounds, say)),
        "blobs": lambda: asyncio.run(blobs.measure(extent.blob_mib, extent.blob_rounds, say)),
        "edge": lambda: asyncio.run(edge.measure(extent.edge_seconds, extent.edge_rounds, say)),
    }


def asked(extent: Extent, only: set[str], say: Say) -> list[Answer]:
    """The answers, those of the parts first. A question that fails takes no other's answer with it."""
    answers = [tried(name, ask, say) for name, ask in of_parts(extent, say).items() if not only or name in only]
    with TemporaryDirectory(prefix="async-code-git-") as directory, GitServer(Path(directory)) as server:
        if not only or "cold" in only:
            answers.append(tried("cold", lambda: line.cold(server, extent.cold_tasks, say), say))
        wanted = [name for name in ("line", "memory") if not only or name in only]
        if wanted:
            answers += _of_one_stack(server, extent, wanted, say)
    return answers


def _of_one_stack(server: GitServer, extent: Extent, wanted: list[str], say: Say) -> list[Answer]:
    try:
        with line.running() as stack:
            asks = of_stack(stack, server, extent, say)
            return [tried(name, asks[name], say) for name in wanted]
    except Exception as error:  # noqa: BLE001 - whatever it is, the other questions have their answers
        return [_unanswered(name, error, say) for name in wanted]


def tried(name: str, ask: Ask, say: Say) -> Answer:
    """The answer, or why there is none."""
    try:
        return ask()
    except Exception as error:  # noqa: BLE001 - whatever it is, the other questions have their answers
        return _unanswered(name, error, say)


def _unanswered(name: str, error: Exception, say: Say) -> Answer:
    say("".join(traceback.format_exception(error)))
    return Answer(name, f"The question `{name}`", f"It failed: {type(error).__name__}.", ())


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a little of each, printed and not written")
    parser.add_argument("--tasks", type=int, default=Extent.memory_tasks, help="after how many tasks memory is looked at (%(default)s)")
    parser.add_argument("--only", action="append", default=[], choices=ORDER, help="one question, printed alone")
    given = parser.parse_args()
    extent = QUICK if given.quick else Extent(memory_tasks=given.tasks)
    ensure_images(print)
    about = machine.described()
    answers = asked(extent, set(given.only), lambda text: print(text, file=sys.stderr, flush=True))
    answers.sort(key=lambda answer: ORDER.index(answer.name))
    print(page.rendered(about, answers))
    if not given.quick and not given.only:
        page.write(_DOCS, about, answers)
    if not all(answer.rows for answer in answers):
        sys.exit(1)


if __name__ == "__main__":
    main()
