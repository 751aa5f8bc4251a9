"""Every fact: `evt.<entity>.<fact>.<owner>.<task>`."""

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from shared.events.failures import Failure
from shared.events.ids import CredentialId, EventId, GitSha, ProjectId, RepositoryId, RunId, Sha256, TokenId
from shared.events.payload import Fact
from shared.events.values import BlobRef, BudgetReached, Ecosystem, Kept, Outcome, Protection, Purpose, TokenScope, Usage

Fence = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9:._/@$-]{0,256}$")]
"""A name that a machine made: no room for what a person or an agent wrote."""
ServiceName = Literal["gateway", "scheduler", "git", "runner", "audit"]


class TaskBlocked(Fact):
    """The task waits for others to end."""

    TYPE: ClassVar[str] = "task.blocked.v1"


class TaskQueued(Fact):
    """The task waits for a free slot of its owner."""

    TYPE: ClassVar[str] = "task.queued.v1"


class TaskPreparing(Fact):
    """A slot is free; the repository's snapshot is being made."""

    TYPE: ClassVar[str] = "task.preparing.v1"


class TaskRunning(Fact):
    """The snapshot is there; a runner was asked to start the agent."""

    TYPE: ClassVar[str] = "task.running.v1"
    run_id: RunId
    begins_anew: bool = False
    """A run before it was stopped at a budget, and left nothing that this one could go on from."""


class TaskPublishing(Fact):
    """The task's change is being checked and pushed: its agent ended well, or a person publishes what was kept."""

    TYPE: ClassVar[str] = "task.publishing.v1"
    run_id: RunId


class TaskAwaitingApproval(Fact):
    """The change is stored and waits for a person: its policy says so, or it touches protected paths."""

    TYPE: ClassVar[str] = "task.awaiting_approval.v1"
    tree_sha: GitSha


class TaskAwaitingBudget(Fact):
    """The task has reached a budget and waits for a person. What it made is kept, and it goes on once the budget is raised."""

    TYPE: ClassVar[str] = "task.awaiting_budget.v1"
    reached: BudgetReached | None = None
    spent_usd: Annotated[float, Field(ge=0)] = 0.0
    """By the task in all its runs."""
    expires_at: datetime | None = None
    """When it ends as failed, unless somebody decides."""
    kept: Kept | None = None


class TaskSucceeded(Fact):
    """The task ended well: its branch is pushed, or the agent changed nothing."""

    TYPE: ClassVar[str] = "task.succeeded.v1"
    outcome: Outcome
    commit_sha: GitSha | None = None


class TaskFailed(Fact):
    """The task ended without a branch, and this is why."""

    TYPE: ClassVar[str] = "task.failed.v1"
    failure: Failure
    kept: Kept | None = None


class TaskCancelled(Fact):
    """A person stopped the task, or rejected its change."""

    TYPE: ClassVar[str] = "task.cancelled.v1"
    kept: Kept | None = None


class TaskTimedOut(Fact):
    """The task reached a time limit."""

    TYPE: ClassVar[str] = "task.timed_out.v1"
    failure: Failure
    kept: Kept | None = None


class WorkKept(Fact):
    """What a run made arrived after its task had ended, and is kept."""

    TYPE: ClassVar[str] = "work.kept.v1"
    run_id: RunId
    kept: Kept


class WorkDiscarded(Fact):
    """A person does not want what the task made: it cannot be published any more. Its blobs are gone when their time is over."""

    TYPE: ClassVar[str] = "work.discarded.v1"
    tree_sha: GitSha


class WorkspacePrepared(Fact):
    """Ends `git.prepare`: the base commit's snapshot is a blob."""

    TYPE: ClassVar[str] = "workspace.prepared.v1"
    base_sha: GitSha
    workspace: BlobRef


class WorkspaceFailed(Fact):
    """Ends `git.prepare`: there is no snapshot."""

    TYPE: ClassVar[str] = "workspace.failed.v1"
    failure: Failure


class EnvironmentStarted(Fact):
    """The project's set-up script begins to run, in a sandbox of its own: nothing that it would make is stored."""

    TYPE: ClassVar[str] = "environment.started.v1"
    run_id: RunId
    fence: Fence


class EnvironmentPrepared(Fact):
    """The directories of the project's environment are in the run's sandbox."""

    TYPE: ClassVar[str] = "environment.prepared.v1"
    run_id: RunId
    fence: Fence
    key: Sha256
    """Everything they depend on, as one digest."""
    cached: bool
    """They were made for a run before this one, or beside it."""
    size_bytes: Count
    seconds: Annotated[float, Field(ge=0)]
    """That the run took for it, waiting for another one's included."""


class RunStarted(Fact):
    """The sandbox is up and the agent process has been launched."""

    TYPE: ClassVar[str] = "run.started.v1"
    run_id: RunId
    fence: Fence
    runner_id: Name
    image_digest: Name


class RunCheckpointed(Fact):
    """The work and the agent's session so far are blobs from which another attempt can go on."""

    TYPE: ClassVar[str] = "run.checkpointed.v1"
    run_id: RunId
    fence: Fence
    checkpoint: BlobRef
    """The manifest, which names the others."""
    usage: Usage = Usage()
    """What the attempt had spent by then. What attempts before it had stands in the manifest."""


class RunFinished(Fact):
    """Ends `runner.start`: the agent ended well. Its output is in the trail by the transcript's hash and the range of OUT it took."""

    TYPE: ClassVar[str] = "run.finished.v1"
    run_id: RunId
    fence: Fence
    base_sha: GitSha
    tree_sha: GitSha
    result: BlobRef | None = None
    """A thin pack of what the tree adds to the base; None when the tree is the base's."""
    transcript: BlobRef
    out_first: Count = 0
    out_last: Count = 0
    usage: Usage = Usage()
    started_at: datetime
    finished_at: datetime


class RunFailed(Fact):
    """Ends `runner.start`: the agent did not end well, or never ran. What it had made is kept where there was any."""

    TYPE: ClassVar[str] = "run.failed.v1"
    run_id: RunId
    fence: Annotated[int, Field(ge=0)] = 0
    """0: the run was refused before it held a lease."""
    failure: Failure
    base_sha: GitSha | None = None
    tree_sha: GitSha | None = None
    result: BlobRef | None = None
    transcript: BlobRef | None = None
    out_first: Count = 0
    out_last: Count = 0
    usage: Usage = Usage()


class ChangePrepared(Fact):
    """The diff is stored and can be reviewed, whatever happens to the push."""

    TYPE: ClassVar[str] = "change.prepared.v1"
    run_id: RunId
    base_sha: GitSha
    tree_sha: GitSha
    patch: BlobRef
    changes: BlobRef
    files: Count
    additions: Count
    deletions: Count
    protected_files: Count


class ChangeHeld(Fact):
    """Ends `git.publish`: nothing was pushed, a person decides."""

    TYPE: ClassVar[str] = "change.held.v1"
    run_id: RunId
    tree_sha: GitSha
    reason: Literal["policy", "protected_paths"]


class ChangePublished(Fact):
    """Ends `git.publish`: the branch holds this commit. Its name follows from the task and is shown by the gateway."""

    TYPE: ClassVar[str] = "change.published.v1"
    run_id: RunId
    commit_sha: GitSha
    tree_sha: GitSha


class ChangeFailed(Fact):
    """Ends `git.publish`: nothing was pushed. What was made stays reviewable where it could be read."""

    TYPE: ClassVar[str] = "change.failed.v1"
    run_id: RunId
    failure: Failure


class PullRequestOpened(Fact):
    """A pull request for the task's branch is there."""

    TYPE: ClassVar[str] = "pull_request.opened.v1"
    number: Annotated[int, Field(ge=1)]


class CommandDeadLettered(Fact):
    """A command was given up: it was invalid, failed too often, or ran out of deliveries."""

    TYPE: ClassVar[str] = "command.dead_lettered.v1"
    service: ServiceName
    command_type: Name
    command_id: EventId | None = None
    stream: Name
    stream_sequence: Count
    reason: Literal["invalid", "refused", "exhausted", "max_deliveries"]


class ProjectCreated(Fact):
    """A person made a project."""

    TYPE: ClassVar[str] = "project.created.v1"
    project_id: ProjectId


class ProjectChanged(Fact):
    """A person changed what a project's tasks are allowed: from here on this holds for what is handed in."""

    TYPE: ClassVar[str] = "project.changed.v1"
    project_id: ProjectId
    packages: tuple[Ecosystem, ...] = ()
    environment: Sha256 | None = None
    """The digest of its environment; None: it has none."""


class RepositoryAdded(Fact):
    """A repository belongs to a project. Its address stays in the gateway."""

    TYPE: ClassVar[str] = "repository.added.v1"
    project_id: ProjectId
    repository_id: RepositoryId


class CredentialStored(Fact):
    """A credential was sealed for the one service that will use it."""

    TYPE: ClassVar[str] = "credential.stored.v1"
    credential_id: CredentialId
    version: Annotated[int, Field(ge=1)]
    purpose: Purpose


class CredentialDeleted(Fact):
    """A credential is gone; nothing can open it again."""

    TYPE: ClassVar[str] = "credential.deleted.v1"
    credential_id: CredentialId


class CredentialOpened(Fact):
    """The sealed value of a credential was handed to the service whose key opens it."""

    TYPE: ClassVar[str] = "credential.opened.v1"
    credential_id: CredentialId
    version: Annotated[int, Field(ge=1)]
    purpose: Purpose


class TokenCreated(Fact):
    """A person made an API token. Its name stays in the gateway, and of the token itself nobody keeps more than a digest."""

    TYPE: ClassVar[str] = "token.created.v1"
    token_id: TokenId
    scopes: tuple[TokenScope, ...]
    expires_at: datetime


class TokenRevoked(Fact):
    """A person revoked an API token: from here on it opens nothing."""

    TYPE: ClassVar[str] = "token.revoked.v1"
    token_id: TokenId


class TokenRefused(Fact):
    """Somebody who has an API token was refused with it. Told once an hour for each token and reason, however often it happens."""

    TYPE: ClassVar[str] = "token.refused.v1"
    token_id: TokenId
    reason: Literal["expired", "revoked", "scope"]


class EgressRefused(Fact):
    """The sandbox asked for something its policy denies."""

    TYPE: ClassVar[str] = "egress.refused.v1"
    run_id: RunId
    fence: Fence
    reason: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    request_digest: Sha256
    """SHA-256 of method, host and path: what was asked is agent-written and stays out of the trail."""
    ecosystem: Ecosystem | None = None
    """Whose packages were asked for; None: the model's API was."""


class EngineTried(Fact):
    """A runner asked its engine and tried a sandbox at its start: these walls are there, and it takes work."""

    TYPE: ClassVar[str] = "engine.tried.v1"
    runner_id: Name
    engine: Name
    kernel: Name
    runtime: Name
    storage_driver: Name
    cgroup_version: Literal[1, 2]
    protections: tuple[Protection, ...]
    allowed_missing: tuple[Protection, ...] = ()
    """Required, not there, and named by the operator, who runs without."""
