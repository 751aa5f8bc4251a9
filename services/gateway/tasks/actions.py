"""What a person can do to a task after handing it in: each is a command to the scheduler, which alone decides.

What is refused here is refused early, so that a person hears why; the scheduler would ignore it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from services.gateway import idempotency
from services.gateway.errors import NotFound, NothingKept, WrongState, invalid
from services.gateway.identity import claims
from services.gateway.parts import Parts
from services.gateway.tasks import push_token, queries
from services.gateway.tasks.freshness import fresh
from services.gateway.tasks.queries import Stored
from services.gateway.tasks.schemas import Approval, ByHand, Nothing, Raise, Task
from services.gateway.tasks.view import BudgetWait
from services.gateway.text import Request
from shared.events import envelope
from shared.events.commands import (
    SchedulerApprove,
    SchedulerCancel,
    SchedulerDiscard,
    SchedulerPublish,
    SchedulerRaiseBudget,
    SchedulerReject,
)
from shared.events.ids import OwnerId, TaskId
from shared.events.payload import Command
from shared.events.values import Budget, Kept, TaskState
from shared.store.database import Connection

Q = TypeVar("Q", bound=Request)


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks about which task, and under which key, so that asking again does it once."""

    parts: Parts
    owner: OwnerId
    task_id: TaskId
    key: str | None


async def once(asked: Asked, action: str, request: Q, act: Callable[[Connection, OwnerId, Stored, Q], Awaitable[Command]]) -> Task:
    """Lock the task, let `act` say what to command, and store the command with the answer."""
    parts, owner = asked.parts, asked.owner
    claimed = idempotency.claim(owner, asked.key, f"POST /v1/tasks/{asked.task_id}/{action}", request)

    async def work() -> Task:
        stored = await queries.get(connection, owner, asked.task_id, lock=True)
        if stored is None:
            raise NotFound
        stored = await fresh(parts.bus.read, owner, stored)
        command = await act(connection, owner, stored, request)
        await parts.outbox.enqueue(connection, envelope.new(command, source="gateway", owner=owner, task=stored.task.id))
        return stored.task

    async with parts.database.transaction(claims(owner)) as connection:
        return await idempotency.once(connection, claimed, parts.settings.idempotency_hours, Task, work)


async def cancel(_connection: Connection, _owner: OwnerId, stored: Stored, _request: Nothing) -> Command:
    """The task is to stop, wherever it is."""
    if stored.progress.ended:
        raise WrongState(f"The task has ended: it is {stored.progress.state}.")
    return SchedulerCancel()


async def approve(_connection: Connection, _owner: OwnerId, stored: Stored, approval: Approval) -> Command:
    """The held change with this tree may be pushed."""
    _held(stored)
    if stored.progress.view.tree_sha != approval.tree_sha:
        raise WrongState("The change that waits has another tree: look at it again, then approve that one.")
    return SchedulerApprove(tree_sha=approval.tree_sha)


async def reject(_connection: Connection, _owner: OwnerId, stored: Stored, _request: Nothing) -> Command:
    """The held change is not wanted, or the budget is not raised."""
    if stored.progress.state is not TaskState.AWAITING_BUDGET:
        _held(stored)
    return SchedulerReject()


def raising(ceiling_usd: float) -> Callable[[Connection, OwnerId, Stored, Raise], Awaitable[Command]]:
    """The budget that the task waits for is raised; to no more than the operator lets a task cost."""

    async def raised(_connection: Connection, _owner: OwnerId, stored: Stored, more: Raise) -> Command:
        wait, state = stored.progress.view.budget, stored.progress.state
        if state is not TaskState.AWAITING_BUDGET or wait is None:
            raise WrongState(f"The task waits for no budget: it is {state}.")
        _check_raise(more.max_cost_usd, wait, ceiling_usd)
        return SchedulerRaiseBudget(max_cost_usd=more.max_cost_usd)

    return raised


def _check_raise(total_usd: float | None, wait: BudgetWait, ceiling_usd: float) -> None:
    if total_usd is None:
        if wait.reached.budget in (Budget.RUN, Budget.TASK):
            raise invalid("body.max_cost_usd", "missing", "say what the task may cost in all: it has reached its own limit")
    elif total_usd <= wait.spent_usd:
        raise invalid("body.max_cost_usd", "not_more_than_spent", f"must be more than the {wait.spent_usd:g} dollars that are spent")
    elif total_usd > ceiling_usd:
        raise invalid("body.max_cost_usd", "over_ceiling", f"must be at most {ceiling_usd:g} here")


async def publish(connection: Connection, owner: OwnerId, stored: Stored, by_hand: ByHand) -> Command:
    """What was kept is to be published."""
    kept = _kept(stored)
    if by_hand.tree_sha not in (None, kept.tree_sha):
        raise WrongState("What is kept has another tree: look at it again, then publish that one.")
    credential = await push_token.chosen(connection, owner, stored.task, by_hand.credential_id)
    return SchedulerPublish(tree_sha=by_hand.tree_sha, credential=credential)


async def discard(_connection: Connection, _owner: OwnerId, stored: Stored, _request: Nothing) -> Command:
    """What was kept is not wanted."""
    _kept(stored)
    return SchedulerDiscard()


def _held(stored: Stored) -> None:
    if stored.progress.state is not TaskState.AWAITING_APPROVAL:
        raise WrongState(f"The task does not wait for approval: it is {stored.progress.state}.")


def _kept(stored: Stored) -> Kept:
    """What the task keeps. Raises WrongState where it goes on or has succeeded, NothingKept."""
    state, kept = stored.progress.state, stored.progress.view.kept
    if state is TaskState.SUCCEEDED:
        raise WrongState("The task has succeeded: what it made is published, or it made nothing.")
    if not stored.progress.ended:
        raise WrongState(f"The task has not ended: it is {state}.")
    if kept is None:
        raise NothingKept
    if kept.expires_at <= datetime.now(UTC):
        raise NothingKept(f"What the task made was kept until {kept.expires_at:%Y-%m-%d %H:%M} UTC.")
    return kept
