"""The phase before the agent: the directories of the project's environment come into its sandbox, and are made where nobody made them yet.

The script runs in a sandbox of its own, without a model key, and sees of the repository what decides its result. What it says is data.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import structlog

from services.runner import packages
from services.runner.doors import Door, DoorRequest, Egress, Refused
from services.runner.environment_store import EnvironmentStore
from services.runner.errors import EnvironmentRefused, RunnerError, SetupFailed, SetupTimedOut
from services.runner.lines import Line, LineSplitter
from services.runner.recorder import Recorder
from services.runner.sandbox import Program, Sandbox, SandboxFactory, SandboxSpec, Stream
from services.runner.surroundings import Wanted
from shared.bus.errors import Transient
from shared.events import ids
from shared.events.ids import GitSha, RunId, Sha256
from shared.events.output import MAX_TEXT, AgentEvent

log = structlog.get_logger()

NAME = "setup"
"""What the script's lines are called among a run's output."""
MAX_LOG_BYTES = 1024 * 1024
_DOOR_SECONDS = 10
_WORDS = {
    "oom_kills": "memory ran out (limits.memory_mib)",
    "disk_full": "its disk is full (limits.disk_mib)",
    "pids_refused": "it asked for more processes than it may have (limits.pids)",
}


@dataclass(frozen=True)
class Prepared:
    """What is in the agent's sandbox now."""

    key: Sha256
    cached: bool
    size_bytes: int
    seconds: float


class Heard(Protocol):
    """Who is told how the phase goes."""

    async def started(self) -> None:
        """The script begins."""
        ...

    async def prepared(self, prepared: Prepared) -> None:
        """The directories are there."""
        ...

    async def refused(self, refusals: tuple[Refused, ...]) -> None:
        """What the script asked for and did not get."""
        ...


@dataclass(frozen=True)
class Setup:
    """What one run's phase needs to know."""

    wanted: Wanted
    workspace: Path
    base_sha: GitSha
    room: Path
    max_bytes: int


class SettingUp:
    """Brings environments into sandboxes."""

    def __init__(self, store: EnvironmentStore, sandboxes: SandboxFactory, egress: Egress, recorder: Recorder, heard: Heard) -> None:
        self._store = store
        self._sandboxes = sandboxes
        self._egress = egress
        self._recorder = recorder
        self._heard = heard

    async def prepare(self, sandbox: Sandbox, spec: SandboxSpec, setup: Setup) -> None:
        """Into a sandbox that is loaded. Raises RunFailure, and what sandboxes raise."""
        begun = time.monotonic()
        rules, archive = setup.room / "environment.json", setup.room / "environment.tar"
        await asyncio.to_thread(rules.write_bytes, setup.wanted.rules)
        locks = await sandbox.surroundings.keep_apart(rules)
        key = setup.wanted.key(spec.owner, sandbox.image_digest, locks)
        await asyncio.to_thread(archive.unlink, missing_ok=True)
        async with self._store.turn(key):
            cached = await self._store.take(key, archive)
            if not cached:
                await self._make(spec, setup, rules, archive)
                await self._store.keep(key, archive)
        try:
            await sandbox.surroundings.unpack(rules, archive)
        except EnvironmentRefused:
            await self._store.drop(key)
            raise
        size = (await asyncio.to_thread(archive.stat)).st_size
        prepared = Prepared(key, cached, size, round(time.monotonic() - begun, 3))
        came = "was made before" if cached else "is made"
        await self._recorder.tell(f"The environment {came}: {size} bytes, in place after {prepared.seconds:.1f} s.")
        await self._heard.prepared(prepared)

    async def _make(self, spec: SandboxSpec, setup: Setup, rules: Path, archive: Path) -> None:
        """In a sandbox of its own, of the same image and limits."""
        environment = setup.wanted.environment
        await self._recorder.tell("The project's set-up script starts, in a sandbox of its own.")
        await self._heard.started()
        limits = spec.limits.model_copy(update={"wall_seconds": environment.timeout_seconds})
        request = _packages_alone(spec, setup.wanted)
        door = await self._egress.open(request) if request.leads_out else None
        watching = asyncio.create_task(self._watched(request))
        try:
            own = replace(spec, limits=limits, door=None if door is None else door.directory, sets_up=True)
            await self._in_a_sandbox(own, setup, rules, archive, door)
        finally:
            watching.cancel()
            if door is not None:
                await asyncio.shield(self._closed(request))

    async def _in_a_sandbox(self, spec: SandboxSpec, setup: Setup, rules: Path, archive: Path, door: Door | None) -> None:
        sandbox = await self._sandboxes.create(spec)
        try:
            await sandbox.surroundings.put_files(setup.workspace, setup.base_sha, rules)
            program = packages.reached(_program(setup.wanted), door, setup.wanted.packages)
            exit_code = await self._ran(sandbox, program, spec.limits.wall_seconds)
            await sandbox.stop_agent()
            if exit_code != 0:
                await self._explain(sandbox, exit_code)
                raise SetupFailed(f"the set-up script ended with {exit_code}")
            await sandbox.surroundings.pack(rules, archive, setup.max_bytes)
        finally:
            await asyncio.shield(_gone(sandbox, spec))

    async def _ran(self, sandbox: Sandbox, program: Program, seconds: int) -> int:
        output = _Output(self._recorder.add)
        try:
            async with asyncio.timeout(seconds):
                return await sandbox.run(program, output.hear)
        except TimeoutError as error:
            raise SetupTimedOut(f"the set-up script runs for over {seconds} s") from error
        finally:
            await output.end()
            if output.left_out:
                await self._recorder.tell(f"The set-up script said more than is kept: {output.left_out} bytes were left out.")

    async def _explain(self, sandbox: Sandbox, exit_code: int) -> None:
        condition = await sandbox.condition()
        reasons = [words for name, words in _WORDS.items() if getattr(condition, name)]
        because = f"; {' and '.join(reasons)}" if reasons else ""
        await self._recorder.tell(f"The set-up script ended with exit code {exit_code}{because}.")

    async def _watched(self, request: DoorRequest) -> None:
        """Asking keeps the door open across a restart of the egress process."""
        while request.leads_out:
            await asyncio.sleep(_DOOR_SECONDS)
            try:
                await self._egress.spending(request.run_id, request.fence)
            except Transient as error:
                log.warning("door_not_heard", run_id=request.run_id, error=type(error).__name__)

    async def _closed(self, request: DoorRequest) -> None:
        try:
            spending = await self._egress.close(request.run_id, request.fence)
        except Transient as error:
            log.warning("door_not_closed", run_id=request.run_id, error=type(error).__name__)
        else:
            await self._heard.refused(spending.refusals)


def _packages_alone(spec: SandboxSpec, wanted: Wanted) -> DoorRequest:
    """A door beside the run's own, behind which there is no model."""
    own = RunId(ids.derive(spec.run_id, NAME))
    return DoorRequest(own, spec.fence, spec.owner, spec.task_id, None, None, 0.0, None, packages=wanted.packages)


def _program(wanted: Wanted) -> Program:
    return Program(("/bin/bash", "-euo", "pipefail", "-s"), (wanted.environment.setup_script or "").encode())


class _Output:
    """The script's output as lines of the run's, up to a bound of its own."""

    def __init__(self, add: Callable[[list[AgentEvent]], Awaitable[None]]) -> None:
        self._add = add
        self._splitters = {stream: LineSplitter(MAX_TEXT) for stream in Stream}
        self._left = MAX_LOG_BYTES
        self.left_out = 0

    async def hear(self, stream: Stream, data: bytes) -> None:
        """A piece of it."""
        kept = data[: self._left]
        self._left -= len(kept)
        self.left_out += len(data) - len(kept)
        await self._said(self._splitters[stream].feed(kept))

    async def end(self) -> None:
        """The last lines, where they have no end."""
        for splitter in self._splitters.values():
            await self._said(splitter.flush())

    async def _said(self, lines: list[Line]) -> None:
        if lines:
            await self._add([AgentEvent(kind="log", name=NAME, text=line.text[:MAX_TEXT], truncated=line.cut) for line in lines])


async def _gone(sandbox: Sandbox, spec: SandboxSpec) -> None:
    """What cannot be removed now is swept, or ends by itself."""
    try:
        await sandbox.kill()
    except RunnerError as error:
        log.error("setup_sandbox_not_removed", run_id=spec.run_id, fence=spec.fence, error=type(error).__name__)  # noqa: TRY400
