"""When an attempt's checkpoints are taken, while its agent works. A checkpoint that fails is logged, and never ends the run.

It knows no bus: what was taken goes to a `Keeper`.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from services.runner.agents.adapter import Agent
from services.runner.doors import Spending
from services.runner.errors import RunnerError
from services.runner.sandbox import Sandbox, SessionPlace, Snapshot, Taken
from shared.bus.errors import BusError
from shared.events.ids import GitSha, SessionId
from shared.events.output import AgentEvent

log = structlog.get_logger()

_LAST_SECONDS = 8
"""How long a stop waits for the last checkpoint: less than a service is given to stop."""
_TURNS = frozenset({"tool_result", "result"})


@dataclass(frozen=True)
class Pace:
    """How often: after a turn, but not sooner than `least_seconds` after the last one; without a turn after `most_seconds`."""

    least_seconds: float
    most_seconds: float


@dataclass(frozen=True)
class Work:
    """What is taken, and where it lies on its way."""

    sandbox: Sandbox
    base_sha: GitSha
    room: Path


class Keeper(Protocol):
    """Where the checkpoints of an attempt go."""

    @property
    def may_keep(self) -> bool:
        """Whether the attempt still speaks for its run."""
        ...

    def begin_anew(self) -> None:
        """What was to be gone on from is not in the sandbox."""
        ...

    def snapshot(self, base_sha: GitSha, place: SessionPlace, *, last: bool) -> Snapshot:
        """What to take next. The last one of an attempt stands alone: it may have to wait for a person."""
        ...

    async def keep(self, taken: Taken, session_id: SessionId, spending: Spending, *, last: bool) -> None:
        """Stores it, then says so. Raises BusError."""
        ...


class Checkpointing:
    """The checkpoints of one attempt."""

    def __init__(self, agent: Agent, keeper: Keeper, pace: Pace, work: Work, spent: Callable[[], Awaitable[Spending]]) -> None:
        self._agent = agent
        self._keeper = keeper
        self._pace = pace
        self._work = work
        self._spent = spent
        self._session_id: SessionId | None = None
        self._turned = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()

    def hear(self, line: str, event: AgentEvent | None) -> None:
        """A line of the agent's: where it ends a turn, a checkpoint is due."""
        if self._session_id is None:
            self._session_id = self._agent.session_of(line)
        if event is not None and event.kind in _TURNS:
            self._turned.set()

    async def keep_taking(self) -> None:
        """For ever. After one that failed, turns do not count: what failed would fail again."""
        taken = True
        while True:
            await self._due(after_failure=not taken)
            taken = await self._take(last=False)

    async def take_last(self) -> None:
        """The run stops here, and may go on."""
        try:
            async with asyncio.timeout(_LAST_SECONDS):
                if await self._take(last=True):
                    log.info("last_checkpoint_taken")
        except TimeoutError:
            log.warning("last_checkpoint_late")

    async def _due(self, *, after_failure: bool) -> None:
        await asyncio.sleep(self._pace.most_seconds if after_failure else self._pace.least_seconds)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._pace.most_seconds - self._pace.least_seconds):
                await self._turned.wait()

    async def _take(self, *, last: bool) -> bool:
        async with self._one_at_a_time:
            place = None if self._session_id is None else self._agent.session_place(self._session_id)
            if self._session_id is None or place is None or not self._keeper.may_keep:
                return True  # nothing to go on from yet, or nobody to go on
            self._turned.clear()
            try:
                await self._taken(self._session_id, place, last=last)
            except (RunnerError, BusError) as error:
                log.warning("checkpoint_not_taken", error=type(error).__name__, detail=str(error))
                return False
            return True

    async def _taken(self, session_id: SessionId, place: SessionPlace, *, last: bool) -> None:
        work, spending = self._work, await self._spent()
        taken = await work.sandbox.checkpoint(self._keeper.snapshot(work.base_sha, place, last=last), work.room)
        await self._keeper.keep(taken, session_id, spending, last=last)
