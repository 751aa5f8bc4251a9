"""What a runner clears away: sandboxes, doors and images nobody holds, and at its start files of runs that are no more."""

import asyncio
import math
import shutil
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import Protocol

import structlog

from services.runner import old_images
from services.runner.errors import RunnerError
from services.runner.old_images import Tagged
from services.runner.sandbox import Leftover, SandboxFactory
from shared.bus.errors import BusError
from shared.events.ids import RunId

log = structlog.get_logger()

Sweep = Callable[[], Awaitable[None]]
LeaseAlive = Callable[[RunId], Awaitable[bool]]


_IMAGES_SECONDS = 3_600


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


async def repeat(every_seconds: float, *sweeps: Sweep) -> None:
    """For ever, one after the other. What cannot be asked now is asked the next time."""
    while True:
        await asyncio.sleep(every_seconds)
        for sweep in sweeps:
            try:
                await sweep()
            except (RunnerError, BusError) as error:
                log.warning("sweep_postponed", error=type(error).__name__)


class SandboxSweep:
    """Removes what could not be removed when its run ended, because the engine was away, and what dead runners left.

    What is seen without a lease twice: a lease that was claimed just now may not be seen by everybody yet.
    """

    def __init__(self, sandboxes: SandboxFactory, lease_alive: LeaseAlive) -> None:
        self._sandboxes = sandboxes
        self._lease_alive = lease_alive
        self._suspected: frozenset[str] = frozenset()

    async def __call__(self) -> None:
        """One look."""
        unheld = [leftover for leftover in await self._sandboxes.leftovers() if not await _held(leftover, self._lease_alive)]
        for leftover in unheld:
            if leftover.container_id in self._suspected:
                log.warning("orphan_swept", run_id=leftover.run_id, fence=leftover.fence)
                await self._sandboxes.remove(leftover)
        self._suspected = frozenset(leftover.container_id for leftover in unheld)


class ImageStore(Protocol):
    """The images of a host."""

    async def images(self, reference: str) -> Sequence[Tagged]:
        """Those whose names match."""
        ...

    async def images_in_use(self) -> set[str]:
        """The ids of those that a container stands on."""
        ...

    async def remove_image(self, tag: str) -> None:
        """Takes a name away."""
        ...


class ImageSweep:
    """Removes images of agents that earlier versions made: all but the newest `keep` of each, and what is in use or asked for."""

    def __init__(self, store: ImageStore, wanted: Collection[str], keep: int) -> None:
        self._store = store
        self._wanted = wanted
        self._keep = keep
        self._looked = -math.inf

    async def __call__(self) -> None:
        """One look, where the last one was long ago."""
        if time.monotonic() - self._looked < _IMAGES_SECONDS:
            return
        self._looked = time.monotonic()
        needed = {*self._wanted, *await self._store.images_in_use()}
        for tag in old_images.superseded(await self._store.images(f"{old_images.PREFIX}*"), needed, self._keep):
            log.info("image_removed", tag=tag)
            await self._store.remove_image(tag)


async def clear_sandboxes(sandboxes: SandboxFactory, own_id: str, lease_alive: LeaseAlive) -> int:
    """Removes this runner's own sandboxes, and another's where nobody holds them; how many."""
    removed = 0
    for leftover in await sandboxes.leftovers():
        if leftover.runner_id == own_id or not await _held(leftover, lease_alive):
            log.warning("orphan_removed", run_id=leftover.run_id, fence=leftover.fence, own=leftover.runner_id == own_id)
            await sandboxes.remove(leftover)
            removed += 1
    return removed


async def _held(leftover: Leftover, lease_alive: LeaseAlive) -> bool:
    """What waits for a run is its runner's, lease or not, until it ends; without a runner it ends by itself."""
    return await lease_alive(leftover.run_id) if leftover.run_id else not leftover.ended
