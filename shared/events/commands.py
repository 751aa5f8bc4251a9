"""Every command: `cmd.<service>.<verb>.<owner>.<task>`. Each ends in exactly one fact (`ENDINGS` in `catalogue`)."""

from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import Field

from shared.events.ids import GitSha, ProjectId, RepositoryId, RunId, Sha256
from shared.events.payload import Command
from shared.events.values import AgentName, AgentOptions, BlobRef, CredentialRef, Ecosystem, Limits, ModelName, PublishPolicy


class SchedulerSubmit(Command):
    """A person handed in a task. The prompt stays in the gateway; only its salted hash travels."""

    TYPE: ClassVar[str] = "scheduler.submit.v1"
    project_id: ProjectId
    repository_id: RepositoryId
    agent: AgentName
    model: ModelName | None = None
    agent_options: AgentOptions = AgentOptions()
    limits: Limits = Limits()
    publish_policy: PublishPolicy = PublishPolicy.AUTO
    credentials: tuple[CredentialRef, ...] = ()
    max_cost_usd: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    """What all runs of the task may cost together; None: what `limits` lets its run cost."""
    prompt_digest: Sha256
    """SHA-256 over a random salt and the prompt; the salt is erased with the prompt."""
    system_prompt_digest: Sha256 | None = None
    """Likewise of what a person adds to the agent's system prompt; None where nobody adds anything."""
    packages: tuple[Ecosystem, ...] = ()
    """The families of packages that the sandbox may read, as the project allows when the task is handed in."""
    environment: Sha256 | None = None
    """SHA-256 over a random salt and the project's environment, as it is when the task is handed in; None where it has none."""


class SchedulerCancel(Command):
    """A person wants the task to stop, wherever it is."""

    TYPE: ClassVar[str] = "scheduler.cancel.v1"


class SchedulerApprove(Command):
    """A person looked at the held change with this tree and lets it be pushed."""

    TYPE: ClassVar[str] = "scheduler.approve.v1"
    tree_sha: GitSha


class SchedulerReject(Command):
    """A person looked at the held change and does not want it."""

    TYPE: ClassVar[str] = "scheduler.reject.v1"


class SchedulerPublish(Command):
    """A person publishes by hand what a task made that ended without publishing it."""

    TYPE: ClassVar[str] = "scheduler.publish.v1"
    tree_sha: GitSha | None = None
    """The tree the person looked at, which approves it; None: prepare the diff first, and ask."""
    credential: CredentialRef | None = None
    """The git token to push with; None: the one that the task was submitted with."""


class SchedulerDiscard(Command):
    """A person does not want what a task made that ended without publishing it."""

    TYPE: ClassVar[str] = "scheduler.discard.v1"


class SchedulerRaiseBudget(Command):
    """A person lets a task that waits at a budget go on."""

    TYPE: ClassVar[str] = "scheduler.raise_budget.v1"
    max_cost_usd: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    """What the task may cost in all, what it has spent included; None: as before, as the month's budget that it waited for was raised."""


class SchedulerSetBudget(Command):
    """A person says what a project's tasks, or all of theirs, may cost in a calendar month (UTC). It is about no task."""

    TYPE: ClassVar[str] = "scheduler.set_budget.v1"
    project_id: ProjectId | None = None
    """None: all of the owner's projects together."""
    monthly_usd: Annotated[float, Field(ge=0, le=1_000_000)] | None = None
    """None: the operator's default."""
    version: Annotated[int, Field(ge=1)]
    """The highest counts, in whatever order they arrive."""


class GitPrepare(Command):
    """Make the snapshot of the base commit that the sandbox starts from. The address and the ref come by question from the gateway."""

    TYPE: ClassVar[str] = "git.prepare.v1"
    repository_id: RepositoryId
    credential: CredentialRef | None = None


class RunnerStart(Command):
    """Run an agent in a sandbox on the snapshot. The prompt comes by question from the gateway."""

    TYPE: ClassVar[str] = "runner.start.v1"
    run_id: RunId
    turn: Annotated[int, Field(ge=1)] = 1
    agent: AgentName
    model: ModelName | None = None
    agent_options: AgentOptions = AgentOptions()
    limits: Limits
    base_sha: GitSha
    workspace: BlobRef
    credential: CredentialRef | None = None
    resume: BlobRef | None = None
    """A checkpoint to go on from, of this run or of one before it. A newer one of this run counts before it."""
    packages: tuple[Ecosystem, ...] = ()
    """The families of packages that the sandbox may read through its door."""
    environment: Sha256 | None = None
    """The digest of the project's environment, which comes with the prompt; None where it has none."""


class GitPublish(Command):
    """Take in what the run made, check it, store the diff, and push it unless it must wait for a person."""

    TYPE: ClassVar[str] = "git.publish.v1"
    run_id: RunId
    fence: Annotated[int, Field(ge=1)]
    repository_id: RepositoryId
    credential: CredentialRef | None = None
    base_sha: GitSha
    tree_sha: GitSha
    workspace: BlobRef
    result: BlobRef
    authored_at: datetime
    """The commit's author and committer date, so that a second try makes the same commit."""
    agent: AgentName
    publish_policy: PublishPolicy
    approved: bool = False
    """A person has seen this tree and approved it: protected paths and policy hold no longer."""
