"""What a task looks like from outside: as it is handed in, and as it is shown."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from services.gateway.agent_options import AgentOptions
from services.gateway.repositories.refs import RefName
from services.gateway.tasks.view import BudgetWait, Change, EnvironmentPhase, Refused
from services.gateway.text import Line, Request, Resource, storable
from shared.events import values
from shared.events.failures import Failure
from shared.events.ids import CredentialId, GitSha, ProjectId, RepositoryId, RunId, TaskId
from shared.events.output import OutputLine
from shared.events.values import AgentName, Kept, Limits, ModelName, Outcome, TaskState, Usage

MAX_PROMPT_BYTES = 100_000
DERIVED_TITLE_CHARS = 120


def _prompt(text: str) -> str:
    storable(text)
    if len(text.encode()) > MAX_PROMPT_BYTES:
        raise PydanticCustomError("prompt_too_long", "must have at most {max_bytes} bytes as UTF-8", {"max_bytes": MAX_PROMPT_BYTES})
    if not text.strip():
        raise PydanticCustomError("prompt_blank", "must say something")
    return text


class NewTask(Request):
    """A task to hand in."""

    project_id: ProjectId
    repository_id: Annotated[RepositoryId | None, Field(description="Default: the project's only repository.")] = None
    base_ref: Annotated[RefName | None, Field(description="The branch to start from. Default: the repository's.")] = None
    prompt: Annotated[str, AfterValidator(_prompt), Field(description="What the agent shall do; at most 100 kB.")]
    agent: AgentName
    model: ModelName | None = None
    title: Annotated[Line | None, Field(description="Default: the prompt's first line.")] = None
    agent_options: AgentOptions = AgentOptions()
    limits: Limits = Limits()
    max_cost_usd: Annotated[
        float | None, Field(gt=0, le=1_000_000, description="What all its runs together may cost. Default: `limits.max_cost_usd`.")
    ] = None
    credential_ids: Annotated[
        tuple[CredentialId, ...],
        Field(max_length=2, description="At most one per purpose. Default: your newest for the repository's host and the agent's vendor."),
    ] = ()


class Approval(Request):
    """A person's word on a held change. The tree they looked at is named, so that nothing else can be pushed by it."""

    tree_sha: GitSha


class ByHand(Request):
    """A person publishes what was kept of a task that ended without publishing it."""

    tree_sha: Annotated[
        GitSha | None,
        Field(description="The tree you looked at, when its diff is stored: it is pushed at once. Default: prepare the diff, then ask."),
    ] = None
    credential_id: Annotated[
        CredentialId | None, Field(description="The git token to push with. Default: your newest for the repository's host.")
    ] = None


class Raise(Request):
    """A person lets a task that waits at a budget go on."""

    max_cost_usd: Annotated[
        float | None,
        Field(
            gt=0,
            le=1_000_000,
            description="What it may cost in all, what it has spent included. Not needed where a month's budget was reached.",
        ),
    ] = None


class Nothing(Request):
    """What needs no words."""


class Task(Resource):
    """A task as the facts tell it so far."""

    id: TaskId
    project_id: ProjectId
    repository_id: RepositoryId
    title: str
    agent: AgentName
    model: ModelName | None
    base_ref: str | None
    branch: str
    agent_options: Annotated[values.AgentOptions, Field(description="As the task asked for, or the project said.")] = values.AgentOptions()
    limits: Limits
    state: TaskState
    outcome: Outcome | None
    failure: Failure | None
    base_sha: GitSha | None
    tree_sha: GitSha | None
    commit_sha: GitSha | None
    run_ids: list[RunId]
    usage: Usage | None
    change: Annotated[Change | None, Field(description="The stored diff; null until the agent's change was prepared.")]
    pull_request_number: int | None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    budget: Annotated[BudgetWait | None, Field(description="The budget that the task has reached and waits for; null: none.")]
    begins_anew: Annotated[
        bool, Field(description="Its run after a raised budget began on the clean base: nothing was left that it could go on from.")
    ]
    kept: Annotated[
        Kept | None, Field(description="What a task made that ended without publishing it: publish it or discard it. Null: nothing.")
    ]
    refused: Annotated[
        tuple[Refused, ...], Field(description="What its sandboxes asked for and did not get, by family of packages; null: of the model.")
    ] = ()
    environment: Annotated[
        EnvironmentPhase | None,
        Field(description="How the project's environment came into the sandbox; its log: the output lines named `setup`. Null: none yet."),
    ] = None


class TaskDetail(Task):
    """A task with what was asked for."""

    prompt: Annotated[str | None, Field(description="Null where it was erased.")]
    append_system_prompt: Annotated[str | None, Field(description="What was added to the agent's system prompt; null: nothing.")]


class Messages(Resource):
    """What the agent said and did, in order."""

    messages: list[OutputLine]
    next_cursor: Annotated[str | None, Field(description="Pass as `cursor` for what follows; null when the run has ended and this is all.")]
