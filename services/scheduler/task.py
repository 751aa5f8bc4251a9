"""A task as the scheduler knows it: one frozen value that says everything `decide` needs. It must never do I/O or read a clock."""

from datetime import datetime
from typing import Self, TypeVar

from pydantic import Field

from shared.events.commands import SchedulerSubmit
from shared.events.failures import Failure
from shared.events.ids import EventId, GitSha, OwnerId, RunId, TaskId
from shared.events.payload import Value
from shared.events.values import ENDED, BlobRef, Budget, BudgetReached, CredentialRef, Fate, Kept, Purpose, TaskState

T = TypeVar("T")


def known(value: T | None) -> T:
    """A value that the task's state guarantees. Its absence is a fault of the table: the state was entered without what it needs."""
    if value is None:
        raise AssertionError("the state was entered without what it needs")
    return value


class Step(Value):
    """The one command whose ending a state waits for, and the tries of it that went unanswered before."""

    command_type: str
    command_id: EventId
    """The newest try: the awaited one."""
    earlier: tuple[EventId, ...] = ()

    @property
    def sends(self) -> int:
        """How often this step's command was sent."""
        return len(self.earlier) + 1


class RunResult(Value):
    """What the accepted end of the run said it made, as far as publishing needs it; of a run that failed too."""

    tree_sha: GitSha
    result: BlobRef
    finished_at: datetime
    kept_until: datetime | None = None
    """Until when it may be published by hand; None: the row is older than that."""
    run_id: RunId | None = None
    fence: int = 0
    """Whose it is; None and 0: of the task's run, in a row that is older than the fields."""


class Former(Value):
    """How a task had ended before a person reopened it."""

    state: TaskState
    failure: Failure | None = None


class Task(Value):
    """A task's whole state. Every change makes a new value; the repository stores it as JSON."""

    task_id: TaskId
    owner: OwnerId
    state: TaskState
    cause: EventId
    """The message that brought the task into its state: what is sent from here is derived from it."""
    entered_at: datetime
    deadline_at: datetime | None = None
    """When `DeadlinePassed` is due; None in the states of `deadlines.WITHOUT_DEADLINE` and in ended ones."""

    order: SchedulerSubmit | None = None
    """What was ordered; None for a tombstone (a cancel, or the dead-lettering of the submit, came before any submit)."""
    cancel_requested: bool = False
    step: Step | None = None

    base_sha: GitSha | None = None
    workspace: BlobRef | None = None

    run_id: RunId | None = None
    runs: int = 0
    """How many runs were asked for: another one follows when a budget that stopped the last is raised."""
    fence: int = 0
    """The highest fence seen; 0 while no runner has started the run."""
    attempts: int = 0
    fate: Fate | None = None
    """What was written to the bucket `fate`; once written it stays."""
    run_result: RunResult | None = None
    checkpoint: BlobRef | None = None
    """The newest one of the run: where another attempt, or another run after it, goes on."""
    checkpointed_at: datetime | None = None

    spent: dict[str, float] = Field(default_factory=dict[str, float])
    """US dollars by attempt (`run.fence`), as last heard of each: so an attempt counts once, however often it tells."""
    share_usd: float | None = None
    """What the present run may cost; None before the first, and in rows that are older than the field."""
    share_of: Budget | None = None
    """The budget that left no more than this."""
    raised_to_usd: float | None = None
    """What a person lets the task cost in all; None: what was ordered."""
    reached: BudgetReached | None = None
    """What it waits for in `awaiting_budget`."""

    change_prepared: bool = False
    approved: bool = False
    """A person approved the tree of `run_result`."""
    approvals: tuple[EventId, ...] = ()
    """What people decided and has counted (approvals, publishes, budgets): none counts twice, even where it is delivered twice."""

    failure: Failure | None = None
    """Why it ended as failed or timed out."""
    discarded: bool = False
    """What the run made is not wanted, or no longer stored: nothing of it is kept from here on."""
    former: Former | None = None
    """How it had ended, while a person publishes by hand what was kept."""
    push_credential: CredentialRef | None = None
    """The git token a person published by hand with; before the order's."""

    @property
    def ended(self) -> bool:
        """Whether the task is over, unless a person publishes what it made."""
        return self.state in ENDED

    @property
    def kept(self) -> Kept | None:
        """What a person can publish or discard once the task has ended without publishing it."""
        made = self.run_result
        if made is None or made.kept_until is None:
            return None
        return Kept(tree_sha=made.tree_sha, size_bytes=made.result.size_bytes, expires_at=made.kept_until)

    @property
    def holds_slot(self) -> bool:
        """Whether the task takes one of its owner's running slots.

        A push that a person approved or asked for holds none: it must not wait behind the owner's other tasks.
        """
        by_hand = self.approved or self.former is not None
        return self.state in (TaskState.PREPARING, TaskState.RUNNING) or (self.state is TaskState.PUBLISHING and not by_hand)

    @property
    def spent_usd(self) -> float:
        """What all runs cost, as far as it was heard. Millionths: the sum of such numbers is exact when it is rounded again."""
        return round(sum(self.spent.values()), 6)

    @property
    def spent_in_run_usd(self) -> float:
        """What the attempts of the present run cost."""
        return round(sum(usd for attempt, usd in self.spent.items() if attempt.partition(".")[0] == self.run_id), 6)

    @property
    def promised_usd(self) -> float:
        """What the present run may still cost: of the month's budgets nobody else may spend it."""
        if self.state not in (TaskState.PREPARING, TaskState.RUNNING) or self.share_usd is None:
            return 0.0
        return round(max(self.share_usd - self.spent_in_run_usd, 0.0), 6)

    @property
    def published_run(self) -> RunId | None:
        """The run whose work is published: the last one that made any."""
        made = self.run_result
        return self.run_id if made is None or made.run_id is None else made.run_id

    def credential(self, purpose: Purpose) -> CredentialRef | None:
        """The first credential of the order with this purpose."""
        credentials = self.order.credentials if self.order is not None else ()
        return next((credential for credential in credentials if credential.purpose is purpose), None)

    def to_json(self) -> str:
        """The task for the jsonb column."""
        return self.model_dump_json(exclude_defaults=True)

    @classmethod
    def from_json(cls, document: str | bytes) -> Self:
        """Read a stored task. Unknown fields are ignored, so that a replica of the version before can read on during an upgrade."""
        return cls.model_validate_json(document, extra="ignore")
