"""`python -m benchmarks`: asks every question and writes `docs/performance.md` and `docs/performance.json`. As root, with a Docker engine.

`--quick` asks each a little, to see that it can be asked; its figures say nothing, so they are printed and not written.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
    memory_tasks: int = 300
    """In all: those of the line count."""
    sandboxes: int = 30
    trail_events: int = 20_000
    trail_rounds: int = 3
    blob_mib: tuple[int, ...] = (1, 20, 200)
    blob_rounds: int = 5
    edge_seconds: float = 10
    edge_rounds: int = 3


QUICK = Extent(
    line_tasks=2,
    memory_tasks=6,
    sandboxes=1,
    trail_events=1_000,
    trail_rounds=1,
    blob_mib=(1,),
    blob_rounds=1,
    edge_seconds=0.5,
    edge_rounds=1,
)
"""Seconds: it shows that every question can still be asked."""


def of_stack(stack: Stack, server: GitServer, extent: Extent, say: Say) -> Iterator[Answer]:
    """The questions that need the whole stack."""
    idle = memory.sizes(stack)
    where = line.place(stack, server)
    yield line.measure(where, extent.line_tasks, say)
    yield memory.measure(stack, where, idle, max(0, extent.memory_tasks - 2 * extent.line_tasks), say)


def of_parts(extent: Extent, say: Say) -> dict[str, Callable[[], Answer]]:
    """The questions that need a part of it alone."""
    return {
        "sandbox": lambda: asyncio.run(sandbox.measure(extent.sandboxes, say)),
        "trail": lambda: asyncio.run(trail.measure(extent.trail_events, extent.trail_rounds, say)),
        "blobs": lambda: asyncio.run(blobs.measure(extent.blob_mib, extent.blob_rounds, say)),
        "edge": lambda: asyncio.run(edge.measure(extent.edge_seconds, extent.edge_rounds, say)),
    }


def asked(extent: Extent, only: set[str], say: Say) -> list[Answer]:
    """The answers, those of the parts first."""
    answers = [ask() for name, ask in of_parts(extent, say).items() if not only or name in only]
    if not only or only & {"line", "memory"}:
        with TemporaryDirectory(prefix="async-code-git-") as directory, GitServer(Path(directory)) as server, line.running() as stack:
            answers += [answer for answer in of_stack(stack, server, extent, say) if not only or answer.name in only]
    return answers


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a little of each, printed and not written")
    parser.add_argument("--tasks", type=int, default=Extent.memory_tasks, help="after how many tasks memory is looked at (%(default)s)")
    parser.add_argument("--only", action="append", default=[], help="one question, printed alone: line, memory, sandbox, trail, …")
    given = parser.parse_args()
    extent = QUICK if given.quick else Extent(memory_tasks=given.tasks)
    ensure_images(print)
    about = machine.described()
    answers = asked(extent, set(given.only), lambda text: print(text, file=sys.stderr, flush=True))
    answers.sort(key=lambda answer: ("line", "memory", "sandbox", "trail", "blobs", "edge").index(answer.name))
    print(page.rendered(about, answers))
    if not given.quick and not given.only:
        page.write(_DOCS, about, answers)


if __name__ == "__main__":
    main()
