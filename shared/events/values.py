"""Small values that several messages carry."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from shared.events.ids import CredentialId, GitSha, Sha256
from shared.events.payload import Value


class TaskState(StrEnum):
    """Where a task is in its life. The scheduler alone decides; it emits one `task.<state>` fact for each."""

    SUBMITTED = "submitted"
    BLOCKED = "blocked"
    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    PUBLISHING = "publishing"
    AWAITING_APPROVAL = "awaiting_approval"
    AWAITING_BUDGET = "awaiting_budget"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"


ENDED = frozenset({TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED, TaskState.TIMED_OUT})
"""The states nothing leaves, but that a person may publish by hand what a task made that did not succeed."""


class Outcome(StrEnum):
    """How a task succeeded."""

    PUBLISHED = "published"
    NO_CHANGES = "no_changes"


class PublishPolicy(StrEnum):
    """Whether a change is pushed at once or waits for a person. A change to protected paths waits whatever the policy is."""

    AUTO = "auto"
    ASK = "ask"


class Fate(StrEnum):
    """What the scheduler decided about a run while it was out; written once to the bucket `fate`, heard by the run's holder."""

    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    TIMED_OUT = "timed_out"
    FINISHED = "finished"


class BlobClass(StrEnum):
    """What a blob is for: each class has a stream, a writer, readers, a size cap and an age of its own."""

    WORKSPACE = "workspace"
    RESULT = "result"
    CHECKPOINT = "checkpoint"
    TRANSCRIPT = "transcript"
    CHANGES = "changes"


class BlobRef(Value):
    """A blob by its content: the name is the SHA-256 of its bytes."""

    blob_class: BlobClass
    sha256: Sha256
    size_bytes: Annotated[int, Field(ge=0)]


class Kept(Value):
    """What a task made that ended without publishing it: a person can publish it by hand, or discard it."""

    tree_sha: GitSha
    size_bytes: Annotated[int, Field(ge=0)]
    """Of the pack that the sandbox wrote."""
    expires_at: datetime
    """Until when it can be published."""


class Protection(StrEnum):
    """A wall of a sandbox, as an engine has it or lacks it."""

    SECCOMP = "seccomp"
    NO_NEW_PRIVILEGES = "no_new_privileges"
    NO_CAPABILITIES = "no_capabilities"
    READ_ONLY_ROOT = "read_only_root"
    NO_NETWORK = "no_network"
    MEMORY_LIMIT = "memory_limit"
    SWAP_LIMIT = "swap_limit"
    PIDS_LIMIT = "pids_limit"
    CPU_LIMIT = "cpu_limit"
    DISK_LIMIT = "disk_limit"
    APPARMOR = "apparmor"
    USER_NAMESPACE = "user_namespace"
    ROOTLESS = "rootless"
    OWN_KERNEL = "own_kernel"


class Purpose(StrEnum):
    """What a credential is for, and so which service's key it is sealed with."""

    GIT_TOKEN = "git_token"  # noqa: S105 - the name of a purpose
    MODEL_KEY = "model_key"


class TokenScope(StrEnum):
    """What an API token may be used for. None includes another."""

    TASKS_READ = "tasks:read"
    TASKS_WRITE = "tasks:write"
    PROJECTS_READ = "projects:read"
    PROJECTS_WRITE = "projects:write"
    AUDIT_READ = "audit:read"
    ADMIN = "admin"
    """What is stored for and paid by the account: credentials, monthly budgets."""


class Ecosystem(StrEnum):
    """A family of packages that a sandbox may be allowed to read; each has a protocol and a registry of its own."""

    PIP = "pip"
    NPM = "npm"
    CARGO = "cargo"
    GO = "go"
    DEBIAN = "debian"


class CredentialRef(Value):
    """A stored credential by id and version; never its value, sealed or not."""

    credential_id: CredentialId
    version: Annotated[int, Field(ge=1)]
    purpose: Purpose


AgentName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@\[\]-]{0,127}$")]


ToolName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,31}$")]


class Effort(StrEnum):
    """How hard a model thinks; each agent knows some of these."""

    MINIMAL = "minimal"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    XHIGH = "xhigh"
    MAX = "max"


class AgentOptions(Value):
    """How an agent works, in closed vocabularies: which options, efforts and tools it knows is checked where the task is handed in.

    What a person writes for an agent is no option: it stays in the gateway, with the prompt.
    """

    effort: Effort | None = None
    """None: the agent's own."""
    allowed_tools: Annotated[tuple[ToolName, ...], Field(max_length=32)] | None = None
    """The only tools the model is offered; None: all the agent has."""


class Limits(Value):
    """What one run may use. Ceilings are the operator's; these are the bounds of the message."""

    wall_seconds: Annotated[int, Field(ge=1, le=86_400)] = 3_600
    idle_seconds: Annotated[int, Field(ge=1, le=86_400)] = 900
    memory_mib: Annotated[int, Field(ge=256, le=262_144)] = 4_096
    cpus: Annotated[float, Field(gt=0, le=64)] = 2.0
    pids: Annotated[int, Field(ge=32, le=32_768)] = 512
    disk_mib: Annotated[int, Field(ge=16, le=262_144)] = 2_048
    max_turns: Annotated[int, Field(ge=1, le=1_000)] = 100
    max_cost_usd: Annotated[float, Field(gt=0, le=10_000)] = 10.0


class Budget(StrEnum):
    """What bounds a task's cost: the limit of its run, its own, or that of its project's or its owner's calendar month (UTC)."""

    RUN = "run"
    TASK = "task"
    PROJECT = "project"
    USER = "user"


class BudgetReached(Value):
    """A budget that pays for no more. Dollars are rounded to millionths."""

    budget: Budget
    limit_usd: Annotated[float, Field(ge=0)]
    spent_usd: Annotated[float, Field(ge=0)]
    """Against this budget: by the task, or by all tasks of the month."""


class Usage(Value):
    """What a run spent, as the egress process metered it; zero where nothing was metered."""

    input_tokens: Annotated[int, Field(ge=0)] = 0
    output_tokens: Annotated[int, Field(ge=0)] = 0
    cost_usd: Annotated[float, Field(ge=0)] = 0.0
    requests: Annotated[int, Field(ge=0)] = 0
