"""Keeps one process running: starts it, waits until it is ready, starts it again with growing pauses, and stops it.

It knows nothing of the other processes. A process gets exactly the environment of its table entry, a session of its own, and a
kernel promise to die with the supervisor (PR_SET_PDEATHSIG).
"""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from deploy.embedded import logs
from deploy.embedded.process import Finished, Process, is_ready

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
STABLE_SECONDS = 20.0
"""A process that was ready for so long has not failed in a row: its next pause is the first again."""

_PROBE_EVERY_SECONDS = 0.1
# util-linux, on every Debian: prctl in a forked Python is not safe, and this sets it after the change of user, which would clear it.
_SETPRIV = ("/usr/bin/setpriv", "--pdeathsig", "KILL", "--no-new-privs", "--")


class State(StrEnum):
    """Where a process is."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    PAUSING = "pausing"
    MISCONFIGURED = "misconfigured"
    """It refuses its settings, which stay as they are until the next `up`: starting it again cannot help."""
    DONE = "done"
    STOPPED = "stopped"


def pause_seconds(failures: int, fraction: Callable[[], float] = random.random) -> float:
    """How long to wait after so many failures in a row: doubling to a cap, the later half of it at random, so that no two march in step."""
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(failures - 1, 16))
    return longest * (0.5 + fraction() / 2)


class Keeper:
    """One process of the table, as long as the supervisor lives."""

    def __init__(self, process: Process, log: Path, changed: Callable[["Keeper"], None]) -> None:
        self.process = process
        self.state = State.WAITING
        self.pid: int | None = None
        self.exit_code: int | None = None
        self.reason: str | None = None
        """Why it is down for good, in words for the operator."""
        self.starts = 0
        self.ready = asyncio.Event()
        self._log = log
        self._changed = changed
        self._child: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()

    async def run(self, *after: asyncio.Event) -> None:
        """Keep it running until `stop`, once everything it comes after has been ready; a step ends here when it has succeeded."""
        for event in after:
            await self._either(event)
        failures = 0
        while not self._stopping.is_set():
            began = asyncio.get_running_loop().time()
            succeeded = await self._once()
            if succeeded and isinstance(self.process.ready, Finished):
                self._become(State.DONE)
                self.ready.set()
                return
            if self.exit_code == os.EX_CONFIG and not self.ready.is_set():  # once it was ready, its settings were right
                self.reason = logs.why_misconfigured(self._log)
                self._become(State.MISCONFIGURED)
                await self._stopping.wait()
                break
            failures = 1 if asyncio.get_running_loop().time() - began > STABLE_SECONDS else failures + 1
            await self._pause(failures)
        self._become(State.STOPPED)

    async def stop(self) -> None:
        """Ask it to stop, kill it and all of its group after its grace."""
        self._stopping.set()
        child = self._child
        if child is not None and child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(self.process.stop_signal)
            try:
                async with asyncio.timeout(self.process.grace_seconds):
                    await child.wait()
            except TimeoutError:
                _kill_group(child.pid)
                await child.wait()

    async def _once(self) -> bool:
        with open_log(self._log) as log:
            child = await self._spawn(log)
        self._child, self.pid, self.starts = child, child.pid, self.starts + 1
        self._become(State.STARTING)
        if self._stopping.is_set():  # it came while the process was being made
            _kill_group(child.pid)
        watching = asyncio.create_task(self._watch())
        try:
            self.exit_code = await child.wait()
        finally:
            watching.cancel()
            _kill_group(child.pid)
            self.pid = None
        return self.exit_code == 0

    async def _spawn(self, log: BinaryIO) -> asyncio.subprocess.Process:
        process, user = self.process, self.process.user
        return await asyncio.create_subprocess_exec(
            *_SETPRIV,
            *process.argv,
            env=dict(process.env),
            cwd=process.cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            umask=process.umask,
            user=user.uid if user.switch else None,
            group=user.gid if user.switch else None,
            extra_groups=list(user.groups) if user.switch else None,
        )

    async def _watch(self) -> None:
        if isinstance(self.process.ready, Finished):
            return
        while not await is_ready(self.process.ready):  # noqa: ASYNC110 - another process has no event of ours
            await asyncio.sleep(_PROBE_EVERY_SECONDS)
        self._become(State.READY)
        self.ready.set()

    async def _pause(self, failures: int) -> None:
        if self._stopping.is_set():
            return
        self._become(State.PAUSING)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), pause_seconds(failures))

    async def _either(self, event: asyncio.Event) -> None:
        """Return when the event or the stop comes."""
        waiting = [asyncio.create_task(each.wait()) for each in (event, self._stopping)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()

    def _become(self, state: State) -> None:
        self.state = state
        self._changed(self)


def open_log(path: Path) -> BinaryIO:
    """Appending, always: so the file can be cut to nothing while the process writes."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb")


def _kill_group(pid: int) -> None:
    """End what is left of a process's session: its children may outlive it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
