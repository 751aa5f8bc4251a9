"""Sandboxes as containers of a Docker engine.

Nothing an agent wrote is ever unpacked, opened or run on this side, and no shell of the host takes part.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

import structlog

from services.runner import container, standing
from services.runner.checkpoint import CheckpointReader
from services.runner.docker_engine import DockerEngine
from services.runner.docker_process import Begun, Exec, fed, heard, no_input, together, within
from services.runner.docker_stream import ProcessStream
from services.runner.docker_surroundings import DockerSurroundings
from services.runner.errors import (
    CheckoutFailed,
    CheckpointRefused,
    NestedRepository,
    ResultTooLarge,
    RunFailure,
    RunnerError,
    SandboxGone,
    SandboxOutOfMemory,
    SandboxUnavailable,
    SubmoduleContent,
    WorkRefused,
)
from services.runner.first_process import STEP_SECONDS, FirstProcess
from services.runner.harvest import HarvestReader, elsewhere
from services.runner.runtime import Runtime
from services.runner.sandbox import (
    Condition,
    Elsewhere,
    Harvest,
    OnOutput,
    Point,
    Program,
    SandboxSpec,
    Snapshot,
    Stream,
    Taken,
)
from shared.events.ids import GitSha

log = structlog.get_logger()


_CHECKPOINT_SECONDS = 120
_STOP_SECONDS = 20
_ADOPTION_SECONDS = 10
"""Past which a warm sandbox is taken for dead."""
_MAKING_WAY = (256, 1_024)
"""How many processes are allowed beyond the agent's, one step after the other, where it leaves none to end it with."""
_AGENT_ENVIRONMENT = {"HOME": container.HOME, "USER": "agent", "LOGNAME": "agent", "TERM": "dumb"}
_FOUND_ENVIRONMENT = container.ENVIRONMENT | {"HOME": container.HOME, "HOSTNAME": container.HOSTNAME}
"""What an exec gives a process of the agent's user."""
_KEPT_COMPLAINT_BYTES = 4_096
_NOT_STARTED = 126
_KILLED = 137
_REFUSALS: dict[int, type[RunFailure]] = {10: NestedRepository, 11: WorkRefused, 12: ResultTooLarge, 13: SubmoduleContent}
"""Exit codes of deploy/images/base/lib/harvest."""


@dataclass(frozen=True)
class Made:
    """What a container was made of."""

    container_id: str
    image_id: str
    runtime: Runtime


class DockerSandbox:
    """One container."""

    def __init__(self, engine: DockerEngine, made: Made, first: ProcessStream, spec: SandboxSpec) -> None:
        self._engine = engine
        self._first = FirstProcess(engine.endpoint, made.container_id, first, self._must_run)
        self.container_id, self.image_digest, self._runtime = made.container_id, made.image_id, made.runtime
        self._spec = spec
        self._standing: list[asyncio.Task[Begun]] = []
        self.surroundings = DockerSurroundings(
            self._script, self._first.asked, self.stand_by, lambda: container.patience_seconds(self._spec)
        )

    def stand_by(self) -> None:
        """Begins to start a process of the agent's user that waits to be told what to do and become: other steps are taken meanwhile."""
        self._standing.append(asyncio.create_task(self._started(Exec(container.AGENT, standing.COMMAND))))

    async def standing_by(self) -> None:
        """Returns when it waits."""
        await asyncio.gather(*self._standing)

    async def belong_to(self, spec: SandboxSpec) -> None:
        """From now on it is this attempt's. Raises SandboxGone, SandboxUnavailable."""
        # The disks were made for any attempt: what they may hold is the container's, whatever this one would need.
        self._spec = replace(spec, max_result_bytes=self._spec.max_result_bytes)
        living = self._first.asked("live", container.patience_seconds(spec), seconds=_ADOPTION_SECONDS)
        await together(self._engine.rename(self.container_id, container.name(spec)), living)

    async def load(self, workspace: Path, base_sha: GitSha) -> Elsewhere:
        """See Sandbox."""
        await self._loaded("load", self._first.asked("load", workspace))
        await self._loaded("checkout", self._beforehand("checkout", base_sha))
        return elsewhere(await self._loaded("keep-index", self._first.asked("keep-index")))

    async def _loaded(self, step: str, doing: Awaitable[tuple[int, str]]) -> str:
        code, said = await doing
        if code != 0:
            raise CheckoutFailed(f"{step} ended with {code}: {said}")
        return said

    async def resume(self, base_sha: GitSha, point: Point, session_path: str) -> None:
        """See Sandbox."""
        files = (point.session, *point.packs)
        lengths = [str((await asyncio.to_thread(file.stat)).st_size) for file in files]
        self.stand_by()  # for the agent: this takes the one there is
        code, said = await self._script(container.AGENT, "resume", base_sha, point.tree_sha, session_path, *lengths, sources=files)
        if code != 0:
            raise CheckpointRefused(f"resume ended with {code}: {said}")

    async def checkpoint(self, snapshot: Snapshot, room: Path) -> Taken:
        """See Sandbox. As the agent, who alone can read its files; a script that is left alone ends with the agent."""
        place, reader = snapshot.session, CheckpointReader(room, snapshot.max_session_bytes, self._spec.max_result_bytes)
        arguments = (snapshot.base_sha, snapshot.last or "-", snapshot.have or "-", place.directory, str(place.depth), place.suffix)
        try:
            async with within(_CHECKPOINT_SECONDS):
                most = str(snapshot.max_session_bytes)
                code, said = await self._script(container.AGENT, "checkpoint", *arguments, most, output=reader.feed)
            if code != 0:
                raise CheckpointRefused(f"checkpoint ended with {code}: {said}")
            return reader.result()
        finally:
            reader.close()

    async def run(self, program: Program, on_output: OnOutput) -> int:
        """See Sandbox."""
        environment = _AGENT_ENVIRONMENT | dict(program.environment)
        await self._first.leave()
        await self._let_go(but=1)  # nothing that the agent can touch waits for a word of ours

        async def feed(stream: ProcessStream) -> None:
            await stream.write(program.stdin)
            stream.end_input()

        return await self._execute(Exec(container.AGENT, program.argv, container.WORKSPACE, environment), feed, on_output)

    async def stop_agent(self) -> None:
        """See Sandbox. Ending an agent that took every process there may be needs some more of them: so the limit is raised for that."""
        await self._let_go()
        if await self._is_alone():
            return
        code, complaint = 0, ""
        async with within(_STOP_SECONDS):
            for more in (0, *_MAKING_WAY):
                if more:
                    await self._allow_processes(container.processes_limit(self._spec, self._runtime, more))
                code, complaint = await self._script(container.AGENT, "stop-agent")
                if code == 0:
                    return
        raise SandboxUnavailable(f"the agent's processes live on ({code}): {complaint}")

    async def _allow_processes(self, limit: int) -> None:
        status = await self._engine.limit_processes(self.container_id, limit)
        if status != HTTPStatus.OK:  # stopping is tried all the same, and says what is wrong
            log.warning("limit_not_raised", run_id=self._spec.run_id, status=status)

    async def condition(self) -> Condition:
        """See Sandbox."""
        said = bytearray()

        async def keep(_: Stream, data: bytes) -> None:
            said.extend(data[:_KEPT_COMPLAINT_BYTES])

        async with within(_STOP_SECONDS):
            await self._execute(Exec(container.HARVEST, (container.SCRIPTS + "condition",)), no_input, keep)
        facts = [line.split() for line in bytes(said).decode(errors="replace").splitlines()]

        def count(name: str) -> int:
            return sum(int(fact[1]) for fact in facts if len(fact) == 2 and fact[0] == name and fact[1].isdigit())  # noqa: PLR2004

        return Condition(count("oom_kills"), any(fact[:1] == ["full"] for fact in facts), count("pids_refused"))

    async def harvest(self, base_sha: GitSha, pack: Path) -> Harvest:
        """See Sandbox."""
        self.stand_by()  # no process of the agent is left that could touch it
        code, complaint = await self._first.asked("harvest-room")
        if code != 0:
            raise SandboxUnavailable(f"harvest-room ended with {code}: {complaint}")
        reader = HarvestReader(pack, self._spec.max_result_bytes)
        try:
            code, complaint = await self._script(container.AGENT, "harvest", base_sha, output=reader.feed)
            if code != 0:
                raise _REFUSALS.get(code, SandboxUnavailable)(f"the harvest ended with {code}: {complaint}")
            return reader.result()
        finally:
            reader.close()

    async def kill(self) -> None:
        """See Sandbox."""
        await self._let_go()
        await self._first.leave()
        await self._engine.remove(self.container_id)

    async def _let_go(self, but: int = 0) -> None:
        """What still waits, but for so many, ends when its input does."""
        waiting, self._standing = self._standing[but:], self._standing[:but]
        for starting in waiting:
            starting.cancel()
        for begun in await asyncio.gather(*waiting, return_exceptions=True):
            if isinstance(begun, Begun):
                await begun.stream.close()

    async def _is_alone(self) -> bool:
        """Whether no process but the first ones is there: asking costs a twentieth of an exec. An engine that does not count says no."""
        seen = await self._engine.call(lambda api: cast("dict[str, Any]", api.stats(self.container_id, stream=False, one_shot=True)))
        counted = seen.get("pids_stats", {}).get("current")
        return counted == container.FIRST_PROCESSES

    async def _beforehand(self, script: str, *arguments: str) -> tuple[int, str]:
        """Runs one of our scripts before anything of the agent, by the process that stands by, which goes on waiting."""
        waiting = await self._waiting()
        if waiting is None:
            return await self._script(container.AGENT, script, *arguments)
        async with within(STEP_SECONDS):
            answer = await standing.done(waiting.stream, (container.SCRIPTS + script, *arguments), _FOUND_ENVIRONMENT)
            if answer is None:
                await self._must_run()
                raise SandboxUnavailable(f"what stood by did not answer: {script}")
        return answer

    async def _waiting(self) -> Begun | None:
        """The process that stands by; None where it could not be started, or the container has died, which another try tells."""
        try:
            return await self._standing[0] if self._standing else None
        except RunnerError:
            del self._standing[0]
            return None

    async def _script(
        self, user: str, script: str, *arguments: str, sources: Sequence[Path] = (), output: Callable[[bytes], None] | None = None
    ) -> tuple[int, str]:
        """Runs one of our scripts: its exit code and the beginning of what it complained about."""
        complaint = bytearray()

        async def sort(stream: Stream, data: bytes) -> None:
            if stream is Stream.STDOUT and output is not None:
                output(data)
            elif len(complaint) < _KEPT_COMPLAINT_BYTES:
                complaint.extend(data[:_KEPT_COMPLAINT_BYTES])

        async def feed(stream: ProcessStream) -> None:
            for source in sources:
                with await asyncio.to_thread(source.open, "rb") as file:
                    while piece := await asyncio.to_thread(file.read, 1024 * 1024):
                        await stream.write(piece)
            stream.end_input()

        async with within(STEP_SECONDS):
            code = await self._execute(Exec(user, (container.SCRIPTS + script, *arguments)), feed, sort)
            if code in (_NOT_STARTED, _KILLED):
                await self._must_run()
        return code, bytes(complaint).decode(errors="replace")

    async def _must_run(self, looks: int = 10) -> None:
        """Raises SandboxGone when the container has died; the engine may notice a moment after its processes did.

        Raises SandboxOutOfMemory where memory was why: another attempt would be another budget for whoever can fill it.
        """
        for look in range(looks):
            if look:
                await asyncio.sleep(0.1)
            seen = await self._engine.call(lambda api: cast("dict[str, Any]", api.inspect_container(self.container_id)))
            if not seen["State"]["Running"]:
                await self._engine.keep_last_words(self.container_id, f"{self._spec.run_id}.{self._spec.fence}")
                if seen["State"].get("OOMKilled"):
                    raise SandboxOutOfMemory("the container has ended, and had run out of memory")
                raise SandboxGone("the container does not run any more")

    async def _execute(self, process: Exec, feed: Callable[[ProcessStream], Awaitable[None]], on_output: OnOutput) -> int:
        waiting = await self._waiting() if process.user == container.AGENT else None
        begun = await self._started(process) if waiting is None else await self._become(process)
        feeding = asyncio.create_task(fed(feed, begun.stream))
        try:
            async for piece in heard(begun.stream, lambda: self._must_run(looks=1)):
                await on_output(*piece)
        finally:
            feeding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await feeding
            await begun.stream.close()
        return await self._engine.exit_code(begun.exec_id)

    async def _started(self, process: Exec) -> Begun:
        request = {"stdin": True, "user": process.user, "workdir": process.directory, "environment": process.environment}
        try:
            created = await self._engine.call(lambda api: api.exec_create(self.container_id, list(process.argv), **request))
            return Begun(str(created["Id"]), await ProcessStream.start(self._engine.endpoint, str(created["Id"])))
        except SandboxUnavailable:
            await self._must_run()
            raise

    async def _become(self, process: Exec) -> Begun:
        waiting = await self._standing.pop(0)
        environment = _FOUND_ENVIRONMENT | process.environment
        with contextlib.suppress(ConnectionError):  # it has died: its end says so
            await waiting.stream.write(standing.word(process.argv, environment, process.directory))
        return waiting
