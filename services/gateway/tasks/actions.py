"""What a person can do to a task that is on its way: each is a command to the scheduler, which alone decides."""

from services.gateway.errors import NotFound, WrongState
from services.gateway.identity import claims
from services.gateway.parts import Parts
from services.gateway.tasks import queries
from services.gateway.tasks.freshness import fresh
from services.gateway.tasks.queries import Stored
from services.gateway.tasks.schemas import Task
from shared.events import envelope
from shared.events.commands import SchedulerApprove, SchedulerCancel, SchedulerReject
from shared.events.ids import GitSha, OwnerId, TaskId
from shared.events.payload import Command
from shared.events.values import TaskState
from shared.store.database import Connection


async def cancel(parts: Parts, owner: OwnerId, task_id: TaskId) -> Task:
    """Ask for the task to stop, wherever it is."""
    async with parts.database.transaction(claims(owner)) as connection:
        stored = await _locked(parts, connection, owner, task_id)
        if stored.progress.ended:
            raise WrongState(f"The task has ended: it is {stored.progress.state}.")
        return await _send(parts, connection, owner, stored, SchedulerCancel())


async def approve(parts: Parts, owner: OwnerId, task_id: TaskId, tree_sha: GitSha) -> Task:
    """Let the held change with this tree be pushed."""
    async with parts.database.transaction(claims(owner)) as connection:
        stored = await _held(parts, connection, owner, task_id)
        if stored.progress.view.tree_sha != tree_sha:
            raise WrongState("The change that waits has another tree: look at it again, then approve that one.")
        return await _send(parts, connection, owner, stored, SchedulerApprove(tree_sha=tree_sha))


async def reject(parts: Parts, owner: OwnerId, task_id: TaskId) -> Task:
    """Say that the held change is not wanted."""
    async with parts.database.transaction(claims(owner)) as connection:
        stored = await _held(parts, connection, owner, task_id)
        return await _send(parts, connection, owner, stored, SchedulerReject())


async def _locked(parts: Parts, connection: Connection, owner: OwnerId, task_id: TaskId) -> Stored:
    stored = await queries.get(connection, owner, task_id, lock=True)
    if stored is None:
        raise NotFound
    return await fresh(parts.bus.read, owner, stored)


async def _held(parts: Parts, connection: Connection, owner: OwnerId, task_id: TaskId) -> Stored:
    stored = await _locked(parts, connection, owner, task_id)
    if stored.progress.state is not TaskState.AWAITING_APPROVAL:
        raise WrongState(f"The task does not wait for approval: it is {stored.progress.state}.")
    return stored


async def _send(parts: Parts, connection: Connection, owner: OwnerId, stored: Stored, command: Command) -> Task:
    await parts.outbox.enqueue(connection, envelope.new(command, source="gateway", owner=owner, task=stored.task.id))
    return stored.task
