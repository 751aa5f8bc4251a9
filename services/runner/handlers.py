"""`runner.start`: each delivery of it ends in one fact, or comes back.

The command is only the work; the lease is the key. A delivery may come twice, late, or while another holder is at work, and a run may be
asked for twice: what was ended stays ended, a live lease postpones, and a decided fate refuses.
"""

import structlog

from services.runner.errors import EngineUnreachable
from services.runner.runs import Facilities, Run, fact_of
from services.runner.stopping import CODES
from shared.bus.delivery import Delivery
from shared.bus.errors import LeaseHeld, Postpone
from shared.bus.lease import Lease, Leases
from shared.events import envelope
from shared.events.catalogue import InvalidMessage
from shared.events.commands import RunnerStart
from shared.events.envelope import AnyEnvelope
from shared.events.facts import RunFailed, RunFinished, RunStarted
from shared.events.failures import failure
from shared.events.payload import Fact
from shared.events.values import Fate

log = structlog.get_logger()

_ENGINE_AWAY_SECONDS = 2.0
_LEAVING_SECONDS = 1.0


class StartRun:
    """Handles `runner.start`."""

    def __init__(self, facilities: Facilities, leases: Leases) -> None:
        self._with = facilities
        self._leases = leases

    async def __call__(self, command: AnyEnvelope, delivery: Delivery) -> None:
        """See shared.bus.delivery for what raising means."""
        if not isinstance(command.data, RunnerStart):
            raise InvalidMessage(f"{command.type} is no command of the runner")
        with structlog.contextvars.bound_contextvars(run_id=command.data.run_id, task_id=command.task, delivery=delivery.deliveries):
            log.info("command_taken")
            if self._with.leaving.announced:
                raise Postpone(_LEAVING_SECONDS)
            if not await self._over(command, command.data):
                await self._run(command, command.data)

    async def _over(self, command: AnyEnvelope, start: RunnerStart) -> bool:
        """Whether there is nothing to do: the run has ended, or gets its ending here because its fate is decided."""
        if await self._ended(command, start):
            log.info("run_ended_before")
            return True
        fate = await self._with.fates.get(start.run_id)
        if fate is None:
            return False
        log.info("run_refused", fate=fate)
        if fate is not Fate.FINISHED:
            await self._refuse(command, start, CODES[fate])
        return True

    async def _refuse(self, command: AnyEnvelope, start: RunnerStart, code: str) -> None:
        """Where an attempt has begun, only an ending of the highest fence counts: so under a lease, which nobody at work has."""
        started = await self._last(RunStarted, command)
        if started is None or started.data.run_id != start.run_id:
            await self._with.bus.publish(fact_of(command, RunFailed(run_id=start.run_id, failure=failure(code)), "0"))
            return
        lease = await self._claimed(start)
        try:
            if not await self._ended(command, start):
                refused = RunFailed(run_id=start.run_id, fence=lease.fence, failure=failure(code))
                await self._with.bus.publish(fact_of(command, refused, str(lease.fence)))
        finally:
            await lease.release()

    async def _claimed(self, start: RunnerStart) -> Lease:
        try:
            return await self._leases.claim(start.run_id, self._with.runner_id)
        except LeaseHeld as held:
            raise Postpone(held.remaining_seconds) from held

    async def _ended(self, command: AnyEnvelope, start: RunnerStart) -> bool:
        """Whether the command has its ending, or its run has one: an earlier try of it that stood in the queue with this one."""
        for ending in (RunFinished, RunFailed):
            fact = await self._last(ending, command)
            if fact is not None and (fact.causationid == command.id or await self._counts(fact.data, command, start)):
                return True
        return False

    async def _counts(self, ended: RunFinished | RunFailed, command: AnyEnvelope, start: RunnerStart) -> bool:
        """Whether the scheduler goes by this ending: it is the run's own, under a lease, and no newer attempt has begun since."""
        if ended.run_id != start.run_id or ended.fence == 0:
            return False
        started = await self._last(RunStarted, command)
        return started is None or started.data.run_id != start.run_id or started.data.fence <= ended.fence

    async def _last(self, fact: type[Fact], command: AnyEnvelope) -> AnyEnvelope | None:
        return await self._with.bus.last_fact(envelope.subject(fact, command.owner, command.task))

    async def _run(self, command: AnyEnvelope, start: RunnerStart) -> None:
        try:
            await self._with.sandboxes.ready()
        except EngineUnreachable as error:  # nothing was tried: the command waits, or goes to a runner whose engine answers
            log.warning("engine_away")
            raise Postpone(_ENGINE_AWAY_SECONDS) from error
        lease = await self._claimed(start)
        try:
            await self._under(lease, command, start)
        finally:
            await lease.release()

    async def _under(self, lease: Lease, command: AnyEnvelope, start: RunnerStart) -> None:
        with structlog.contextvars.bound_contextvars(fence=lease.fence):
            # Whoever held the lease before may have published the ending between our look and our claim.
            if await self._ended(command, start):
                return
            await self._remove_earlier(start, lease.fence)
            await Run(self._with, command, lease).end()

    async def _remove_earlier(self, start: RunnerStart, fence: int) -> None:
        """The lease is ours, so what runs under a lower fence is nobody's."""
        for leftover in await self._with.sandboxes.leftovers():
            if leftover.run_id == start.run_id and leftover.fence < fence:
                log.warning("earlier_sandbox_removed", earlier_fence=leftover.fence)
                await self._with.sandboxes.remove(leftover)
