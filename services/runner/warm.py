"""Sandboxes made before anybody needs them: each is given to one attempt, once, or thrown away. No I/O of its own.

What a container is made with cannot be changed afterwards, so they are kept by kind: what a task asks for decides which it may have. Kinds
are learned from the tasks that come; one that nobody asked for in a while is no longer kept. Without a fitting one a sandbox is made anew.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

import structlog

from services.runner.doors import Egress, Place
from services.runner.errors import RunnerError
from services.runner.sandbox import Prepared, Sandbox, SandboxFactory, SandboxSpec
from shared.bus.errors import Transient
from shared.events.ids import OwnerId, RunId, TaskId
from shared.events.values import Limits

log = structlog.get_logger()

SNAPSHOT_BYTES = 64 * 1024 * 1024
"""The largest snapshot there is room for in a sandbox that was made before it was known; a larger one gets a sandbox of its own."""
KEPT_SECONDS = 1_800
"""A kind that nobody asked for in this time is no longer kept, and no sandbox waits longer."""
_SETTLE_SECONDS = 1.0
"""The next one is made after the run that took the last has its agent: it would only be in its way."""
_LOOK_SECONDS = 30.0
_CLASS = ("memory_mib", "disk_mib", "cpus", "pids")
"""The limits a container is made with; the others are kept by the runner, the door or the agent."""


@dataclass(frozen=True)
class Kind:
    """Sandboxes of one kind are alike until one is given to an attempt."""

    image: str
    limits: Limits
    max_result_bytes: int
    door: bool

    @classmethod
    def of(cls, spec: SandboxSpec, *, door: bool) -> "Kind | None":
        """The kind that fits; None where none can be kept for it."""
        if spec.workspace_bytes > SNAPSHOT_BYTES:
            return None
        return cls(spec.image, Limits(**{name: getattr(spec.limits, name) for name in _CLASS}), spec.max_result_bytes, door)

    def spec(self, place: Place | None) -> SandboxSpec:
        """What one of them is made with: it belongs to no run yet."""
        return SandboxSpec(
            run_id=RunId(""),
            fence=0,
            owner=OwnerId(""),
            task_id=TaskId(""),
            image=self.image,
            limits=self.limits.model_copy(update={"wall_seconds": KEPT_SECONDS}),
            workspace_bytes=SNAPSHOT_BYTES,
            max_result_bytes=self.max_result_bytes,
            door=place.directory if place is not None else None,
        )


@dataclass(frozen=True)
class Warm:
    """A sandbox that waits, and the place where its door can be opened."""

    prepared: Prepared
    place: Place | None
    made_at: float


@dataclass
class _Shelf:
    """The sandboxes of one kind that wait."""

    asked_at: float
    failed: bool = False
    """The last one could not be made: no other is tried before somebody asks again."""
    waiting: deque[Warm] = field(default_factory=deque[Warm])


class Pool:
    """Keeps `each` sandboxes of every kind in use, `total` of all kinds together. With `each` 0 it keeps none."""

    def __init__(
        self, sandboxes: SandboxFactory, egress: Egress, *, each: int, total: int, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._sandboxes = sandboxes
        self._egress = egress
        self._each = each
        self._total = total
        self._now = now
        self._shelves: dict[Kind, _Shelf] = {}
        self._asked = asyncio.Event()
        self._full = asyncio.Event()

    def take(self, spec: SandboxSpec, *, door: bool) -> Warm | None:
        """One that fits, which nobody else gets any more; None where there is none."""
        kind = Kind.of(spec, door=door)
        if kind is None or not self._each:
            return None
        shelf = self._shelves.setdefault(kind, _Shelf(0.0))
        shelf.asked_at, shelf.failed = self._now(), False
        self._asked.set()
        self._full.clear()
        return shelf.waiting.popleft() if shelf.waiting else None

    async def sandbox(self, spec: SandboxSpec, warm: Warm | None) -> Sandbox:
        """The attempt's sandbox: the warm one, or where there is none, or it has died, one of its own. Raises as SandboxFactory."""
        if warm is not None:
            try:
                adopted = await warm.prepared.adopt(spec)
            except BaseException as error:
                await asyncio.shield(_removed(warm))
                if not isinstance(error, RunnerError):
                    raise
                log.warning("warm_sandbox_not_used", run_id=spec.run_id, error=type(error).__name__, detail=str(error))
            else:
                log.info("warm_sandbox_used", run_id=spec.run_id)
                return adopted
        return await self._sandboxes.create(spec)

    async def discard(self, warm: Warm) -> None:
        """Throw it away."""
        await _removed(warm)
        if warm.place is not None:
            with contextlib.suppress(Transient):  # the runner's next start clears it away
                await self._egress.give_up(warm.place)

    @contextlib.asynccontextmanager
    async def filled(self) -> AsyncGenerator[None]:
        """Inside, the pool fills itself; left, it is empty."""
        filling = asyncio.create_task(self._fill())
        try:
            yield
        finally:
            filling.cancel()
            await asyncio.wait({filling})
            for shelf in self._shelves.values():
                while shelf.waiting:
                    await self.discard(shelf.waiting.popleft())

    async def full(self) -> None:
        """Returns when as many wait as are to wait."""
        await self._full.wait()

    async def _fill(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._asked.wait()
                    self._asked.clear()
                await asyncio.sleep(_SETTLE_SECONDS)
            await self._clear_old()
            while (kind := self._wanted()) is not None:
                await self._tried(kind)
            if not self._asked.is_set():
                self._full.set()

    async def _clear_old(self) -> None:
        now = self._now()
        for kind, shelf in list(self._shelves.items()):
            unused = now - shelf.asked_at > KEPT_SECONDS
            while shelf.waiting and (unused or now - shelf.waiting[0].made_at > KEPT_SECONDS):
                await self.discard(shelf.waiting.popleft())
            if unused:
                del self._shelves[kind]

    def _wanted(self) -> Kind | None:
        """Whose turn it is: the kind asked for last comes first, where all of them do not find room."""
        if sum(len(shelf.waiting) for shelf in self._shelves.values()) >= self._total:
            return None
        short = [(shelf.asked_at, kind) for kind, shelf in self._shelves.items() if len(shelf.waiting) < self._each and not shelf.failed]
        return max(short, key=lambda entry: entry[0])[1] if short else None

    async def _tried(self, kind: Kind) -> None:
        try:
            await self._make(kind)
        except (RunnerError, Transient) as error:  # tasks get sandboxes of their own meanwhile, and say what is wrong
            log.warning("warm_sandbox_not_made", image=kind.image, error=type(error).__name__, detail=str(error))
            self._shelves[kind].failed = True

    async def _make(self, kind: Kind) -> None:
        place = await self._egress.place() if kind.door else None
        try:
            prepared = await self._sandboxes.prepare(kind.spec(place))
        except BaseException:
            if place is not None:
                with contextlib.suppress(Transient):
                    await self._egress.give_up(place)
            raise
        self._shelves[kind].waiting.append(Warm(prepared, place, self._now()))
        log.info("warm_sandbox_made", image=kind.image)


async def _removed(warm: Warm) -> None:
    """What cannot be removed ends by itself, or goes at the runner's next start."""
    try:
        await warm.prepared.discard()
    except RunnerError as error:
        log.warning("warm_sandbox_not_removed", error=type(error).__name__)
