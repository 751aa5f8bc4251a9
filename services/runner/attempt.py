"""One attempt of a run: sandbox up, snapshot and environment in, agent out, work taken out, sandbox gone, whatever happens between.

It knows no bus: what it says goes to the recorder, what it came to is returned. The agent's output is data and decides nothing but the
agent's own verdict.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import structlog

from services.runner import packages
from services.runner.agents import notes, upstream
from services.runner.agents.adapter import Agent, Assignment, Ending
from services.runner.checkpointing import Checkpointing, Keeper, Pace, Work
from services.runner.doors import Door, DoorRequest, Egress, Refused, Spending
from services.runner.errors import CheckpointRefused, RunFailure, RunnerError, SandboxLost, SandboxUnavailable
from services.runner.lines import Line, LineSplitter
from services.runner.recorder import Recorder
from services.runner.sandbox import Elsewhere, Harvest, Point, Program, Sandbox, SandboxSpec, Stream
from services.runner.setting_up import SettingUp, Setup
from services.runner.stopping import Clocks, Leaving, Stop
from services.runner.warm import Pool, Warm
from shared.bus.errors import Transient
from shared.events.ids import GitSha
from shared.events.output import MAX_TEXT, AgentEvent

log = structlog.get_logger()

_ENDING_SECONDS = 30
_STOP_AGAIN_SECONDS = 0.5
_DOOR_SECONDS = 10
_LINES_AT_ONCE = 256
_MAY_GO_ON = frozenset({"budget_exceeded"})
"""Ends after which a person may let the run go on."""
_UNASKED = ("agent_exit", "agent_killed", "model_not_asked")
_UNEXPLAINED = ("agent_exit", "agent_killed")


@dataclass(frozen=True)
class Order:
    """What to do."""

    spec: SandboxSpec
    assignment: Assignment
    door_request: DoorRequest
    base_sha: GitSha
    workspace: Path
    pack: Path
    """Where the work goes."""
    room: Path
    """A place for what is on its way."""
    keeper: Keeper
    pace: Pace
    leaving: Leaving
    point: Point | None = None
    """Where to go on; None: from the base."""
    setup: Setup | None = None
    """The environment to bring in before the agent; None: there is none."""


@dataclass(frozen=True)
class Made:
    """What the attempt came to: `code` is None when the agent ended well and its work is out."""

    code: str | None
    started_at: datetime | None = None
    harvest: Harvest | None = None
    spending: Spending = field(default_factory=Spending)


class Attempt:
    """Runs one order once."""

    def __init__(  # noqa: PLR0917 - each of another type
        self, pool: Pool, egress: Egress, agent: Agent, recorder: Recorder, stop: Stop, setting_up: SettingUp | None = None
    ) -> None:
        self._pool = pool
        self._egress = egress
        self._agent = agent
        self._recorder = recorder
        self._stop = stop
        self._setting_up = setting_up
        self._last: AgentEvent | None = None
        self._checkpoints: Checkpointing | None = None
        self.spending = Spending()
        self._told: set[Refused] = set()

    async def run(self, order: Order, on_started: Callable[[str], Awaitable[None]]) -> Made:
        """Raises RunFailure when there was no agent to judge, EngineUnreachable when another attempt should be made."""
        warm = self._pool.take(order.spec, door=order.door_request.leads_out)
        try:
            door = await self._opened(order, warm)
        except BaseException:
            if warm is not None:
                await asyncio.shield(self._pool.discard(warm))
            raise
        try:
            made = await self._with_door(order, door, warm, on_started)
        finally:
            if door is not None:
                await asyncio.shield(self._closed(order))
        return replace(made, spending=self.spending)

    async def _opened(self, order: Order, warm: Warm | None) -> Door | None:
        """The door; where a warm sandbox waits for one, in its place."""
        if not order.door_request.leads_out:
            return None
        return await self._egress.open(replace(order.door_request, place=warm.place if warm is not None else None))

    async def _with_door(self, order: Order, door: Door | None, warm: Warm | None, on_started: Callable[[str], Awaitable[None]]) -> Made:
        spec, assignment = order.spec, order.assignment
        if door is not None:
            spec = replace(spec, door=door.directory)
            assignment = replace(assignment, door=door)
        order = replace(order, spec=spec, assignment=assignment)
        try:
            return await self._in_a_sandbox(order, warm, on_started)
        except CheckpointRefused as error:
            log.warning("begun_anew", run_id=spec.run_id, detail=str(error))
        order.keeper.begin_anew()
        await self._recorder.tell("The last checkpoint could not be gone on from; the agent begins anew.")
        return await self._in_a_sandbox(replace(order, point=None), None, on_started)

    async def _in_a_sandbox(self, order: Order, warm: Warm | None, on_started: Callable[[str], Awaitable[None]]) -> Made:
        """Raises CheckpointRefused where there is a point to go on from, and it is none."""
        sandbox = await self._pool.sandbox(order.spec, warm)
        try:
            return await self._inside(sandbox, order, on_started)
        finally:
            await asyncio.shield(_gone(sandbox, order.spec))

    async def _inside(self, sandbox: Sandbox, order: Order, on_started: Callable[[str], Awaitable[None]]) -> Made:
        elsewhere = await self._stop.unless(self._loaded(sandbox, order))
        if elsewhere is None:
            return Made(self._stop.code)
        session_id = None if order.point is None else order.point.session_id
        program = self._agent.program(replace(order.assignment, elsewhere=elsewhere, session_id=session_id))
        program = packages.reached(program, order.assignment.door, order.door_request.packages)
        taken_of = Work(sandbox, order.base_sha, order.room)
        self._checkpoints = Checkpointing(self._agent, order.keeper, order.pace, taken_of, lambda: self._spent(order))
        for sentence in notes.of(elsewhere):
            await self._recorder.tell(sentence)
        starts = "the agent starts" if order.point is None else "the agent goes on from the last checkpoint"
        await self._recorder.tell(f"The sandbox is up; {starts}.")
        started_at = datetime.now(UTC)
        await on_started(sandbox.image_digest)
        with order.leaving.heard_by(self._checkpoints.take_last):
            code = await self._supervised(sandbox, program, order, self._checkpoints)
        spending = await self._spent(order)
        if order.point is not None and code in _UNASKED and spending.usage.requests == 0 and not spending.exhausted:
            raise CheckpointRefused(f"with its session the agent ended before it asked its model: {code}")
        if code in _MAY_GO_ON:
            await self._checkpoints.take_last()
        harvest = await self._harvested(sandbox, order, code)
        return Made(code, started_at, harvest, spending)

    async def _loaded(self, sandbox: Sandbox, order: Order) -> Elsewhere:
        """The base, the project's environment beside it, and what there is to go on from."""
        elsewhere = await sandbox.load(order.workspace, order.base_sha)
        if order.setup is not None and self._setting_up is not None:
            await self._setting_up.prepare(sandbox, order.spec, order.setup)
        if order.point is not None:
            place = self._agent.session_place(order.point.session_id)
            if place is None:
                raise CheckpointRefused("the agent does not go on with sessions")
            await sandbox.resume(order.base_sha, order.point, place.path)
        return elsewhere

    async def _supervised(self, sandbox: Sandbox, program: Program, order: Order, checkpoints: Checkpointing) -> str | None:
        """Runs the agent to its end or the stop; the failure code. No process of it is left."""
        clocks = Clocks(order.spec.limits)
        running = asyncio.ensure_future(self._listened(sandbox, program, clocks))
        stopping = asyncio.ensure_future(self._stop.wait())
        beside = [
            asyncio.ensure_future(clocks.watch(self._stop)),
            asyncio.ensure_future(self._watched_door(order)),
            taking := asyncio.ensure_future(checkpoints.keep_taking()),
        ]
        try:
            await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopped = None if running.done() else self._stop.code
            taking.cancel()
            exit_code = await self._ended(sandbox, running)
        finally:
            for task in (running, stopping, *beside):
                task.cancel()
        if stopped is not None:
            stopped = await self._blamed(stopped, order)
            await self._recorder.tell(f"The agent was stopped: {stopped}.")
            return stopped
        await self._recorder.tell(f"The agent ended with exit code {exit_code}.")
        spending = await self._spent(order)
        verdict = self._agent.verdict(Ending(exit_code, self._last, spending))
        if verdict is None and self._agent.vendor:  # a good end is the agent's word alone, where no answer stands behind it
            verdict = upstream.unasked(spending)
        return await self._explained(sandbox, verdict)

    async def _blamed(self, stopped: str, order: Order) -> str:
        """Whose silence it was that nobody waits for any longer."""
        if stopped != "idle_time":
            return stopped
        return upstream.idleness_of(await self._spent(order), order.spec.limits.idle_seconds)

    async def _ended(self, sandbox: Sandbox, running: "asyncio.Future[int]") -> int:
        """Its exit code, when no process of it is left. A stop may come while the agent is only starting: so it is repeated."""
        try:
            async with asyncio.timeout(_ENDING_SECONDS):
                while not running.done():
                    await sandbox.stop_agent()
                    await asyncio.wait({running}, timeout=_STOP_AGAIN_SECONDS)
        except TimeoutError as error:
            raise SandboxUnavailable("the agent's output goes on after its end") from error
        await sandbox.stop_agent()
        return await running

    async def _listened(self, sandbox: Sandbox, program: Program, clocks: Clocks) -> int:
        splitters = {stream: LineSplitter() for stream in Stream}

        async def hear(stream: Stream, data: bytes) -> None:
            clocks.heard()
            await self._said(stream, splitters[stream].feed(data))

        exit_code = await sandbox.run(program, hear)
        for stream, splitter in splitters.items():
            await self._said(stream, splitter.flush())
        return exit_code

    async def _said(self, stream: Stream, lines: list[Line]) -> None:
        """A few lines at a time: one agent's flood must not hold up the leases of the others, nor its own."""
        for begin in range(0, len(lines), _LINES_AT_ONCE):
            some = lines[begin : begin + _LINES_AT_ONCE]
            events = [self._errors(line) if stream is Stream.STDERR else self._event(line) for line in some]
            await self._recorder.add(event for event in events if event is not None)
            await asyncio.sleep(0)

    def _errors(self, line: Line) -> AgentEvent:
        return AgentEvent(kind="log", name="stderr", text=line.text[:MAX_TEXT], truncated=line.cut or len(line.text) > MAX_TEXT)

    def _event(self, line: Line) -> AgentEvent | None:
        event = self._agent.parse(line.text)
        if self._checkpoints is not None:
            self._checkpoints.hear(line.text, event)
        if event is not None and line.cut:
            event = event.model_copy(update={"truncated": True})
        self._last = event or self._last
        return event

    async def _explained(self, sandbox: Sandbox, verdict: str | None) -> str | None:
        """A bad end without a reason of its own gets the sandbox's: no memory, no disk, no process more."""
        if verdict not in _UNEXPLAINED:
            return verdict
        condition = await sandbox.condition()
        if condition.oom_kills:
            return "out_of_memory"
        if condition.disk_full:
            return "disk_full"
        return "pids_exhausted" if condition.pids_refused else verdict

    async def _harvested(self, sandbox: Sandbox, order: Order, code: str | None) -> Harvest | None:
        """The work; a failed agent's too, but then no fault of the harvest hides the agent's."""
        try:
            harvest = await sandbox.harvest(order.base_sha, order.pack)
        except (RunFailure, SandboxLost) as failure:
            if code is None or (code in _UNEXPLAINED and isinstance(failure, SandboxLost)):
                raise  # what ended the agent may be what took its sandbox
            log.warning("work_not_kept", run_id=order.spec.run_id, error=type(failure).__name__, detail=str(failure))
            return None
        for sentence in notes.left_out(harvest):
            await self._recorder.tell(sentence)
        return harvest

    async def _spent(self, order: Order) -> Spending:
        """What the door says, or said last: a silent egress process is no reason to do the work again."""
        if order.door_request.leads_out:
            try:
                self.spending = await self._egress.spending(order.spec.run_id, order.spec.fence)
            except Transient as error:
                log.warning("door_not_heard", run_id=order.spec.run_id, error=type(error).__name__)
                self.spending = replace(self.spending, answers=self.spending.answers or None)
            await self._tell_refusals()
        return self.spending

    async def _tell_refusals(self) -> None:
        """Each once, with its host: the run's output can be erased, the trail cannot."""
        for refused in self.spending.refusals:
            if refused not in self._told:
                self._told.add(refused)
                await self._recorder.tell(notes.refused(refused))

    async def _watched_door(self, order: Order) -> None:
        """Asking keeps the door open across a restart of the egress process."""
        while order.door_request.leads_out:
            await asyncio.sleep(_DOOR_SECONDS)
            await self._spent(order)

    async def _closed(self, order: Order) -> None:
        """What was under way is charged when its door closes: the last word on what was spent, where the door was still there."""
        try:
            spending = await self._egress.close(order.spec.run_id, order.spec.fence)
        except Transient as error:
            log.warning("door_not_closed", run_id=order.spec.run_id, error=type(error).__name__)
        else:
            before = self.spending
            says_more = spending.usage.requests > before.usage.requests or len(spending.refusals) > len(before.refusals)
            self.spending = spending if says_more else before
            await self._tell_refusals()


async def _gone(sandbox: Sandbox, spec: SandboxSpec) -> None:
    """What cannot be removed now is removed at the next start, or ends by itself."""
    try:
        await sandbox.kill()
    except RunnerError as error:
        log.error("sandbox_not_removed", run_id=spec.run_id, fence=spec.fence, error=type(error).__name__)  # noqa: TRY400
