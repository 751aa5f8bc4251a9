"""A run under its lease: from the claimed lease to the one fact that ends the command.

Blobs are stored before the fact that names them. A run whose lease is lost says nothing more: its sandbox goes, and whoever holds the
next lease speaks for the run.
"""

import asyncio
import contextlib
import itertools
import shutil
import time
from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from services.runner import checkpoints, project_image
from services.runner.agents import registry
from services.runner.agents.adapter import Agent, Assignment
from services.runner.attempt import Attempt, Made, Order
from services.runner.checkpointing import Pace
from services.runner.checkpoints import Bounds, Checkpoints, Found
from services.runner.doors import DoorRequest, Egress, Refused
from services.runner.environment_store import EnvironmentStore
from services.runner.errors import EnvironmentLost, PromptLost, RunFailure, SandboxLost, SnapshotLost, StorageFull
from services.runner.project_image import Images
from services.runner.recorder import Recorded, Recorder
from services.runner.sandbox import SandboxFactory, SandboxSpec
from services.runner.setting_up import Prepared, SettingUp, Setup
from services.runner.settings import RunnerSettings
from services.runner.stopping import CODES, Leaving, Stop
from services.runner.surroundings import Wanted
from services.runner.warm import Pool
from shared.blobs.errors import BlobCorrupt, BlobMissing, BlobStoreFull, BlobTooLarge
from shared.blobs.store import BlobStore
from shared.bus.connection import Bus
from shared.bus.errors import Postpone, ReadFailed, Transient
from shared.bus.errors import Refused as AnswerRefused
from shared.bus.lease import Fates, Lease
from shared.events import output
from shared.events.commands import RunnerStart
from shared.events.envelope import AnyEnvelope, Envelope, new
from shared.events.facts import EgressRefused, EnvironmentPrepared, EnvironmentStarted, RunCheckpointed, RunFailed, RunFinished, RunStarted
from shared.events.failures import failure
from shared.events.ids import OwnerId, TaskId
from shared.events.payload import Fact
from shared.events.questions import AskRunInput, RunInput
from shared.events.values import BlobClass, BlobRef, Limits

log = structlog.get_logger()

_MIB = 1024 * 1024
_AGAIN_SECONDS = 1.0
_STORE_PAUSES_SECONDS = (1, 5, 15, 30, 60)


@dataclass(frozen=True)
class Facilities:
    """What runs are made with."""

    bus: Bus
    blobs: BlobStore
    fates: Fates
    sandboxes: SandboxFactory
    pool: Pool
    egress: Egress
    settings: RunnerSettings
    runner_id: str
    leaving: Leaving
    images: Images
    environments: EnvironmentStore


class Run:
    """One attempt at one command, under one lease."""

    def __init__(self, facilities: Facilities, command: Envelope[RunnerStart], lease: Lease) -> None:
        self._with = facilities
        self._envelope = command
        self._command = command.data
        self._lease = lease
        self._stop = Stop()
        self._room: Path = facilities.settings.state_dir / "work" / f"{self._command.run_id}.{lease.fence}"

    async def end(self) -> None:
        """Does the run and publishes the fact that ends the command. Raises Postpone when the lease is lost, Transient for another try."""
        async with self._guarded() as fell:
            work = asyncio.create_task(self._published())
            fell.add_done_callback(lambda _: work.cancel())
            try:
                await work
            except asyncio.CancelledError:
                if fell.done() and not fell.cancelled():
                    raise Postpone(_AGAIN_SECONDS) from None
                raise
            finally:
                work.cancel()
                await asyncio.wait({work})

    async def _published(self) -> None:
        """Within the guard: a fact that waits for a silent bus is given up with the lease."""
        ending = await self._run()
        if not self._lease.alive:
            raise Postpone(_AGAIN_SECONDS)
        await self._with.bus.publish(ending)
        log.info("run_ended", type=ending.type)

    def fact(self, payload: Fact, *, at: datetime | None = None, more: str = "") -> AnyEnvelope:
        """A fact of this attempt: the fence is part of its id, so that another attempt's is another fact."""
        return fact_of(self._envelope, payload, f"{self._lease.fence}{more}", at=at)

    @contextlib.asynccontextmanager
    async def _guarded(self) -> AsyncGenerator["asyncio.Future[None]"]:
        """While inside, the lease is renewed and fates are heard. The future is done when the lease is lost."""
        fell: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        renewed = asyncio.Event()
        unsubscribe = await self._with.fates.watch(self._command.run_id, lambda fate: self._stop.ask(CODES[fate]))
        tasks = [
            asyncio.create_task(self._lease.keep(lambda: None if fell.done() else fell.set_result(None), renewed.set)),
            asyncio.create_task(self._hear_again(renewed)),
        ]
        try:
            yield fell
        finally:
            fell.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await unsubscribe()

    async def _hear_again(self, renewed: asyncio.Event) -> None:
        """An outage may have swallowed a fate: it is read at each renewal too."""
        while True:
            await renewed.wait()
            renewed.clear()
            with contextlib.suppress(ReadFailed):  # the next renewal asks again
                fate = await self._with.fates.get(self._command.run_id)
                if fate is not None:
                    self._stop.ask(CODES[fate])

    async def _run(self) -> AnyEnvelope:
        await asyncio.to_thread(self._make_room)
        try:
            return await self._recorded()
        except RunFailure as error:
            log.warning("run_failed", code=error.CODE, error=type(error).__name__, detail=str(error))
            return self.fact(RunFailed(run_id=self._command.run_id, fence=self._lease.fence, failure=failure(error.CODE)))
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, self._room, ignore_errors=True))

    def _make_room(self) -> None:
        self._room.mkdir(mode=0o700, parents=True)

    async def _recorded(self) -> AnyEnvelope:
        agent = registry.agent(self._command.agent)
        told = await self._input()
        found = await checkpoints.find(self._with.bus, self._with.blobs, self._envelope, self._room, self._max_result_bytes)
        if told.environment is not None and told.environment.image is not None:
            settings = self._with.settings
            image, allowed = told.environment.image, settings.environment_images
            await project_image.check(self._with.images, image, settings.image(agent.name), allowed)
        order = self._order(agent, told, found)
        registry.check(agent, order.assignment)
        await self._fetch(order.workspace)
        transcript = self._room / "transcript.jsonl"
        settings = self._with.settings
        recorder = Recorder(self._command.run_id, self._lease.fence, transcript, self._publish_output, settings.max_output_mib * _MIB)
        async with recorder:
            if found.refused:
                await recorder.tell("The last checkpoint cannot be used; the agent begins anew.")
            made = await self._made(agent, recorder, order)
            recorded = await recorder.close()
        await self.refused(made.spending.refusals)
        return await self._ended(made, recorded, transcript)

    async def _made(self, agent: Agent, recorder: Recorder, order: Order) -> Made:
        """A failure of the run is something it came to as well: what was said before it is kept."""
        pool, egress = self._with.pool, self._with.egress
        setting_up = SettingUp(self._with.environments, self._with.sandboxes, egress, recorder, self)
        attempt = Attempt(pool, egress, agent, recorder, self._stop, setting_up)
        try:
            return await attempt.run(order, self._started)
        except RunFailure as error:
            log.warning("run_failed", code=error.CODE, error=type(error).__name__, detail=str(error))
            await recorder.tell(f"The run failed: {error.CODE}.")
            return Made(self._stop.code or error.CODE, spending=attempt.spending)
        except SandboxLost as error:
            log.warning("sandbox_lost", error=type(error).__name__, detail=str(error))
            if self._stop.code is not None:  # it was to end anyhow
                return Made(self._stop.code, spending=attempt.spending)
            await recorder.tell("The sandbox was lost, and what was made in it; another attempt follows.")
            await recorder.close()
            await self.refused(attempt.spending.refusals)
            raise

    @property
    def _max_result_bytes(self) -> int:
        return self._with.settings.max_result_mib * _MIB

    def _order(self, agent: Agent, told: RunInput, found: Found) -> Order:
        command, settings, owner, task = self._command, self._with.settings, OwnerId(self._envelope.owner), TaskId(self._envelope.task)
        spec = SandboxSpec(
            run_id=command.run_id,
            fence=self._lease.fence,
            owner=owner,
            task_id=task,
            image=(told.environment and told.environment.image) or settings.image(command.agent),
            limits=command.limits,
            workspace_bytes=command.workspace.size_bytes,
            max_result_bytes=self._max_result_bytes,
        )
        return Order(
            spec=spec,
            assignment=Assignment(
                command.run_id,
                told.prompt,
                command.model,
                _left(command.limits, found),
                None,
                options=command.agent_options,
                system_prompt=told.system_prompt,
            ),
            door_request=DoorRequest(
                command.run_id,
                self._lease.fence,
                owner,
                task,
                command.credential,
                agent.vendor,
                max(0.0, round(command.limits.max_cost_usd - found.spent.cost_usd, 6)),
                None if agent.keeps_to_turns else max(0, command.limits.max_turns - found.answers),
                packages=command.packages,
            ),
            base_sha=command.base_sha,
            workspace=self._room / "workspace.tar",
            pack=self._room / "result.pack",
            room=self._room,
            keeper=self._keeper(found),
            pace=Pace(min(settings.checkpoint_turn_seconds, settings.checkpoint_seconds), settings.checkpoint_seconds),
            leaving=self._with.leaving,
            point=found.point,
            setup=self._setup(told),
        )

    def _setup(self, told: RunInput) -> Setup | None:
        """Raises EnvironmentLost where the command names an environment and the gateway tells of none: without it, this is another task."""
        command = self._command
        if (command.environment is None) != (told.environment is None):
            raise EnvironmentLost("command and gateway do not agree about the project's environment")
        if command.environment is None or told.environment is None or told.environment.setup_script is None:
            return None
        wanted = Wanted(command.environment, told.environment, command.packages)
        max_bytes = self._with.settings.max_environment_mib * _MIB
        return Setup(wanted, self._room / "workspace.tar", command.base_sha, self._room, max_bytes)

    def _keeper(self, found: Found) -> Checkpoints:
        async def tell(payload: RunCheckpointed, number: int) -> None:
            await self._with.bus.publish(self.fact(payload, more=f".{number}"))

        bounds = Bounds(self._max_result_bytes, self._with.settings.max_checkpoints_mib * _MIB)
        return Checkpoints(self._with.blobs, self._command, found, bounds, self._lease, tell)

    async def _input(self) -> RunInput:
        question = AskRunInput(owner=OwnerId(self._envelope.owner), task_id=TaskId(self._envelope.task), run_id=self._command.run_id)
        try:
            return await self._with.bus.ask(question)
        except AnswerRefused as error:
            raise PromptLost(f"the gateway refused: {error.reason}") from error

    async def _fetch(self, workspace: Path) -> None:
        try:
            await self._with.blobs.get_file(self._command.workspace, workspace)
        except (BlobMissing, BlobCorrupt, BlobTooLarge) as error:
            raise SnapshotLost(str(error)) from error

    async def _publish_output(self, payload: bytes, message_id: str) -> int:
        subject = output.subject(self._envelope.owner, self._envelope.task, self._command.run_id)
        return await self._with.bus.publish_output(subject, payload, message_id)

    async def _started(self, image_digest: str) -> None:
        payload = RunStarted(
            run_id=self._command.run_id, fence=self._lease.fence, runner_id=self._with.runner_id, image_digest=image_digest
        )
        await self._with.bus.publish(self.fact(payload))
        log.info("run_started")

    async def started(self) -> None:
        """See setting_up.Heard."""
        await self._with.bus.publish(self.fact(EnvironmentStarted(run_id=self._command.run_id, fence=self._lease.fence)))

    async def prepared(self, prepared: Prepared) -> None:
        """See setting_up.Heard."""
        payload = EnvironmentPrepared(run_id=self._command.run_id, fence=self._lease.fence, **asdict(prepared))
        await self._with.bus.publish(self.fact(payload))

    async def refused(self, refusals: tuple[Refused, ...]) -> None:
        """Tells what a door of the run did not let through. See setting_up.Heard."""
        for refused in refusals:
            payload = EgressRefused(
                run_id=self._command.run_id,
                fence=self._lease.fence,
                reason=refused.reason,
                request_digest=refused.request_digest,
                ecosystem=refused.ecosystem,
            )
            await self._with.bus.publish(self.fact(payload, more=f".{refused.reason}.{refused.request_digest}"))

    async def _ended(self, made: Made, recorded: Recorded, transcript: Path) -> AnyEnvelope:
        kept: dict[str, Any] = {
            "run_id": self._command.run_id,
            "fence": self._lease.fence,
            "transcript": await self._stored(BlobClass.TRANSCRIPT, transcript),
            "out_first": recorded.out_first,
            "out_last": recorded.out_last,
            "usage": made.spending.usage,
        }
        if made.harvest is not None:
            kept |= {"base_sha": self._command.base_sha, "tree_sha": made.harvest.tree_sha}
            if made.harvest.pack is not None:
                kept["result"] = await self._stored(BlobClass.RESULT, made.harvest.pack)
        if made.code is None and made.started_at is not None:
            return self.fact(RunFinished(**kept, started_at=made.started_at, finished_at=datetime.now(UTC)))
        return self.fact(RunFailed(**kept, failure=failure(made.code or "internal")))

    async def _stored(self, blob_class: BlobClass, path: Path) -> BlobRef:
        """The agent has worked for it: a full or silent store is waited for, as long as the lease holds.

        Raises StorageFull when there is no room after all that: another attempt would pay the agent again, and find none either.
        """
        deadline = time.monotonic() + self._with.settings.store_wait_seconds
        for pause in itertools.chain(_STORE_PAUSES_SECONDS, itertools.repeat(_STORE_PAUSES_SECONDS[-1])):
            try:
                return await self._with.blobs.put_file(blob_class, path)
            except Transient as error:
                if time.monotonic() + pause > deadline:
                    if isinstance(error, BlobStoreFull):
                        raise StorageFull(f"no room in {error}") from error
                    raise
                log.warning("blob_not_stored_yet", blob_class=blob_class, error=type(error).__name__)
                await asyncio.sleep(pause)
        raise AssertionError  # the pauses do not end


def _left(limits: Limits, found: Found) -> Limits:
    """The attempts of a run share its turns. The door keeps to what is left of the budget."""
    return limits.model_copy(update={"max_turns": max(1, limits.max_turns - found.answers)})


def fact_of(command: AnyEnvelope, payload: Fact, discriminator: str, *, at: datetime | None = None) -> AnyEnvelope:
    """A fact that follows from this command."""
    return new(payload, source="runner", owner=command.owner, task=command.task, cause=command.id, discriminator=discriminator, at=at)
