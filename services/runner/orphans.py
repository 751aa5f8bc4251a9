"""What a runner clears away: sandboxes nobody holds, at its start and ever again, and at its start files of runs that are no more."""

import asyncio
import shutil
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from services.runner.errors import RunnerError
from services.runner.sandbox import Leftover, SandboxFactory
from shared.bus.errors import BusError
from shared.events.ids import RunId

log = structlog.get_logger()

LeaseAlive = Callable[[RunId], Awaitable[bool]]


def runner_id(state_dir: Path) -> str:
    """This runner's name, made once and kept on its disk: by it, it knows its sandboxes after a restart."""
    path = state_dir / "runner_id"
    if not path.exists():
        draft = path.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.write_text(str(uuid.uuid4()))
        draft.replace(path)
    return path.read_text().strip()


def clear_files(state_dir: Path) -> None:
    """At start nothing is under way: whatever lies in the work directory is left over."""
    shutil.rmtree(state_dir / "work", ignore_errors=True)


async def sweep(sandboxes: SandboxFactory, lease_alive: LeaseAlive, every_seconds: float) -> None:
    """For ever: removes what could not be removed when its run ended, because the engine was away, and what dead runners left.

    What is seen without a lease twice: a lease that was claimed just now may not be seen by everybody yet. What waits for a run needs none.
    """
    suspected: frozenset[str] = frozenset()
    while True:
        await asyncio.sleep(every_seconds)
        try:
            of_runs = [leftover for leftover in await sandboxes.leftovers() if leftover.run_id]
            unheld = [leftover for leftover in of_runs if not await _held(leftover, lease_alive)]
            for leftover in unheld:
                if leftover.container_id in suspected:
                    log.warning("orphan_swept", run_id=leftover.run_id, fence=leftover.fence)
                    await sandboxes.remove(leftover)
            suspected = frozenset(leftover.container_id for leftover in unheld)
        except (RunnerError, BusError) as error:
            log.warning("sweep_postponed", error=type(error).__name__)


async def clear_sandboxes(sandboxes: SandboxFactory, own_id: str, lease_alive: LeaseAlive) -> int:
    """Removes this runner's own sandboxes, and another's where its run's lease is dead; how many.

    What another runner made beforehand is that one's, and ends by itself where there is nobody any more.
    """
    removed = 0
    for leftover in await sandboxes.leftovers():
        if leftover.runner_id == own_id or (leftover.run_id and not await _held(leftover, lease_alive)):
            log.warning("orphan_removed", run_id=leftover.run_id, fence=leftover.fence, own=leftover.runner_id == own_id)
            await sandboxes.remove(leftover)
            removed += 1
    return removed


async def _held(leftover: Leftover, lease_alive: LeaseAlive) -> bool:
    return await lease_alive(leftover.run_id)
