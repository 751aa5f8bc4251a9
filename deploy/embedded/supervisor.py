"""Runs the table of processes: each after what it needs, all of them until told to stop, then in the reverse order.

It decides nothing about what the processes are (`processes.py`) or how one is kept alive (`keeper.py`). What it knows stands in a
status file, so that anybody can ask without asking it.
"""

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path

from deploy.embedded import logs
from deploy.embedded.keeper import Keeper, State
from deploy.embedded.process import Process
from deploy.embedded.state import write_atomically


class Stack(StrEnum):
    """Where the whole is."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"


_UP = frozenset({State.READY, State.DONE})


class Supervisor:
    """All processes of one deployment."""

    def __init__(
        self,
        processes: Sequence[Process],
        *,
        status: Path,
        log: Callable[[str], Path],
        changed: Callable[[Keeper], None] = lambda _keeper: None,
        log_bytes: int = logs.MAX_BYTES,
        more_logs: Sequence[Path] = (),
    ) -> None:
        self.keepers = {process.name: Keeper(process, log(process.name), self._note) for process in processes}
        self.state = Stack.STARTING
        self._status = status
        self.logs = [*(log(name) for name in ("supervisor", *self.keepers)), *more_logs]
        self._changed = changed
        self._log_bytes = log_bytes
        self._all_ready = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Start everything; once `stop` is set, stop everything and return."""
        running = {name: asyncio.create_task(keeper.run(*self._needed_by(keeper))) for name, keeper in self.keepers.items()}
        rotating = asyncio.create_task(logs.keep_small(self.logs, self._log_bytes))
        try:
            await stop.wait()
        finally:
            self.state = Stack.STOPPING
            rotating.cancel()
            await self._stop(running)
            self._write()

    async def until_ready(self) -> None:
        """Return once every process has been ready."""
        await self._all_ready.wait()

    def _needed_by(self, keeper: Keeper) -> list[asyncio.Event]:
        return [self.keepers[name].ready for name in keeper.process.after]

    async def _stop(self, running: dict[str, asyncio.Task[None]]) -> None:
        """Each stops once everything that came after it has stopped."""
        stopped = {name: asyncio.Event() for name in self.keepers}

        async def stop_one(name: str) -> None:
            for other in self.keepers.values():
                if name in other.process.after:
                    await stopped[other.process.name].wait()
            await self.keepers[name].stop()
            await running[name]
            stopped[name].set()

        async with asyncio.TaskGroup() as group:
            for name in self.keepers:
                group.create_task(stop_one(name))

    def _note(self, keeper: Keeper) -> None:
        if self.state is Stack.STARTING and all(one.state in _UP for one in self.keepers.values()):
            self.state = Stack.READY
            self._all_ready.set()
        self._write()
        self._changed(keeper)

    def _write(self) -> None:
        processes = [
            {"name": name, "state": one.state, "pid": one.pid, "starts": one.starts, "exit_code": one.exit_code, "reason": one.reason}
            for name, one in self.keepers.items()
        ]
        content = {"pid": os.getpid(), "state": self.state, "processes": processes}
        write_atomically(self._status, json.dumps(content, indent=1).encode(), mode=0o644)
