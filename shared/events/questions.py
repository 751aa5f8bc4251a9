"""Questions between services: core NATS request and reply on `rpc.<service>.<method>`, stored nowhere.

They carry what must not enter a stream: prompts, titles, addresses, sealed credentials. Who may ask what is a NATS permission.
"""

from datetime import datetime
from typing import ClassVar, Generic, Literal, TypeVar

from pydantic import Base64Bytes

from shared.events.environments import Environment
from shared.events.ids import CredentialId, EventId, OwnerId, RepositoryId, RunId, TaskId
from shared.events.payload import Value

A = TypeVar("A", bound=Value, covariant=True)


class Question(Value, Generic[A]):
    """A question; `METHOD` is the subject, `ANSWER` the type of its answer."""

    METHOD: ClassVar[str]
    ANSWER: ClassVar[type[Value]]


class Refusal(Value):
    """The answer to a question that cannot be answered. `not_found` also stands for "not yours"."""

    refused: Literal["not_found", "invalid", "internal"]


class RunInput(Value):
    """What the agent is told."""

    prompt: str
    system_prompt: str = ""
    """What a person adds to the agent's own system prompt."""
    environment: Environment | None = None
    """The project's, as it was when the task was handed in."""


class AskRunInput(Question[RunInput]):
    """By the runner, when a run begins."""

    METHOD: ClassVar[str] = "rpc.gateway.run_input"
    ANSWER: ClassVar[type[Value]] = RunInput
    owner: OwnerId
    task_id: TaskId
    run_id: RunId


class WorkspaceSource(Value):
    """Where the base comes from. `base_ref` None means the remote's default branch."""

    url: str
    base_ref: str | None = None


class AskWorkspaceSource(Question[WorkspaceSource]):
    """By git, when a workspace is prepared."""

    METHOD: ClassVar[str] = "rpc.gateway.workspace_source"
    ANSWER: ClassVar[type[Value]] = WorkspaceSource
    owner: OwnerId
    task_id: TaskId
    repository_id: RepositoryId


class Publication(Value):
    """Where a change goes and what its commit says. `branch` is without `refs/heads/`."""

    url: str
    branch: str
    title: str
    protected_paths: tuple[str, ...] = ()
    """The project's own patterns, beside the built-in ones."""


class AskPublication(Question[Publication]):
    """By git, when a change is published."""

    METHOD: ClassVar[str] = "rpc.gateway.publication"
    ANSWER: ClassVar[type[Value]] = Publication
    owner: OwnerId
    task_id: TaskId
    repository_id: RepositoryId


class SealedCredential(Value):
    """Ciphertext that one service's key opens, bound to purpose, owner, id and version."""

    sealed: Base64Bytes
    base_url: str | None = None
    """Of a model key: where it was stored for; the sealing binds it, so another one opens nothing. None: its vendor's API."""


class AskSealedCredential(Question[SealedCredential]):
    """By git or the runner, each time the value is needed; each answer is a fact `credential.opened`."""

    METHOD: ClassVar[str] = "rpc.gateway.sealed_credential"
    ANSWER: ClassVar[type[Value]] = SealedCredential
    owner: OwnerId
    task_id: TaskId
    credential_id: CredentialId
    version: int


class TrailEntry(Value):
    """One leaf of the trail. The hash is over `stream`, `stream_sequence`, `subject`, `headers`, `stored_at` and `data` (docs/trail.md)."""

    index: int
    stream: str
    stream_sequence: int
    subject: str
    event_id: EventId | None = None
    type: str | None = None
    stored_at: datetime
    headers: Base64Bytes = b""
    """As they stand in the leaf."""
    data: Base64Bytes
    """The exact bytes that were stored."""


class TrailPage(Value):
    """Entries in the order of the log; `next_after` continues, None at the end."""

    entries: tuple[TrailEntry, ...]
    next_after: int | None = None


class AskTrail(Question[TrailPage]):
    """By the gateway, for a person's own events."""

    METHOD: ClassVar[str] = "rpc.audit.entries"
    ANSWER: ClassVar[type[Value]] = TrailPage
    owner: OwnerId
    task_id: TaskId | None = None
    after: int = -1
    limit: int = 100


class Checkpoint(Value):
    """The newest signed checkpoint of the log (a C2SP tlog-checkpoint note)."""

    note: str


class AskCheckpoint(Question[Checkpoint]):
    """By the gateway, for anyone who wants to verify the trail."""

    METHOD: ClassVar[str] = "rpc.audit.checkpoint"
    ANSWER: ClassVar[type[Value]] = Checkpoint
