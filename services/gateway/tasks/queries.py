"""The SQL of tasks. Each statement names the owner; row-level security would hold without that."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from asyncpg import Record

from services.gateway.paging import Window
from services.gateway.rows import uuid
from services.gateway.tasks.schemas import Task
from services.gateway.tasks.view import Progress, View
from shared.events.ids import OwnerId, ProjectId, RepositoryId, Sha256, TaskId
from shared.events.values import AgentName, AgentOptions, CredentialRef, Limits, ModelName, TaskState
from shared.store.database import Connection

_COLUMNS: Final = """id, project_id, repository_id, title, agent, model, base_ref, branch, agent_options, limits,
    state, evt_first, evt_sequence, view, created_at, updated_at"""


@dataclass(frozen=True, slots=True)
class Insertion:
    """Everything that is stored of a task when it is handed in."""

    owner: OwnerId
    task_id: TaskId
    project_id: ProjectId
    repository_id: RepositoryId
    agent: AgentName
    model: ModelName | None
    title: str
    branch: str
    base_ref: str | None
    agent_options: AgentOptions
    limits: Limits
    credentials: tuple[CredentialRef, ...]
    prompt: str
    system_prompt: str | None
    salt: bytes
    environment_digest: Sha256 | None


@dataclass(frozen=True, slots=True)
class Stored:
    """A task's row."""

    progress: Progress
    task: Task


async def insert(connection: Connection, new: Insertion) -> Stored:
    """Store a task with its prompt and what it may open, in one statement."""
    row = await connection.fetchrow(
        f"""with task as (
                insert into gateway.tasks
                    (id, owner, project_id, repository_id, agent, model, title, branch, base_ref, limits, agent_options,
                     environment_digest)
                values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::jsonb, $16::jsonb, $18) returning *
            ), prompt as (
                insert into gateway.prompts (task_id, owner, prompt, salt, system_prompt) values ($1, $2, $11, $12, $17)
            ), named as (
                insert into gateway.task_credentials (owner, task_id, credential_id, version, purpose)
                select $2, $1, * from unnest($13::uuid[], $14::integer[], $15::text[])
            )
            select {_COLUMNS} from task""",  # noqa: S608 - constants
        uuid(new.task_id),
        uuid(new.owner),
        uuid(new.project_id),
        uuid(new.repository_id),
        new.agent,
        new.model,
        new.title,
        new.branch,
        new.base_ref,
        new.limits.model_dump_json(),
        new.prompt,
        new.salt,
        [uuid(credential.credential_id) for credential in new.credentials],
        [credential.version for credential in new.credentials],
        [credential.purpose for credential in new.credentials],
        new.agent_options.model_dump_json(exclude_defaults=True),
        new.system_prompt,
        new.environment_digest,
    )
    assert row is not None  # noqa: S101 - an insert returns its row
    return _stored(row)


async def get(connection: Connection, owner: OwnerId | str, task_id: TaskId | str, *, lock: bool = False) -> Stored | None:
    """The owner's task of this id; locked, no other transaction changes it until this one ends."""
    row = await connection.fetchrow(
        f"select {_COLUMNS} from gateway.tasks where owner = $1 and id = $2 {'for no key update' if lock else ''}",  # noqa: S608
        uuid(owner),
        uuid(task_id),
    )
    return None if row is None else _stored(row)


async def page(connection: Connection, owner: OwnerId, window: Window, project_id: ProjectId | None, state: TaskState | None) -> list[Task]:
    """The owner's tasks, newest first."""
    rows = await connection.fetch(
        f"""select {_COLUMNS} from gateway.tasks
            where owner = $1 and ($2::timestamptz is null or (created_at, id) < ($2, $3::uuid))
              and ($5::uuid is null or project_id = $5) and ($6::text is null or state = $6)
            order by created_at desc, id desc limit $4""",  # noqa: S608
        uuid(owner),
        window.created_at,
        uuid(window.id),
        window.fetch,
        uuid(project_id),
        state,
    )
    return [_stored(row).task for row in rows]


async def update(connection: Connection, owner: OwnerId | str, task_id: TaskId | str, progress: Progress, at: datetime) -> None:
    """Store what a fact told; never over something newer."""
    await connection.execute(
        """update gateway.tasks set state = $3, evt_first = $4, evt_sequence = $5, view = $6::jsonb, updated_at = greatest(created_at, $7)
           where owner = $1 and id = $2 and evt_sequence < $5""",
        uuid(owner),
        uuid(task_id),
        progress.state,
        progress.evt_first,
        progress.evt_sequence,
        progress.view.model_dump_json(exclude_defaults=True),
        at,
    )


async def name_credential(connection: Connection, owner: OwnerId, task_id: TaskId, credential: CredentialRef) -> None:
    """Let the task open this credential too."""
    await connection.execute(
        """insert into gateway.task_credentials (owner, task_id, credential_id, version, purpose) values ($1, $2, $3, $4, $5)
           on conflict do nothing""",
        uuid(owner),
        uuid(task_id),
        uuid(credential.credential_id),
        credential.version,
        credential.purpose,
    )


@dataclass(frozen=True, slots=True)
class Told:
    """What a person wrote for the agent."""

    prompt: str
    system_prompt: str | None


async def told(connection: Connection, owner: OwnerId | str, task_id: TaskId | str) -> Told | None:
    """What was asked for, where it was not erased."""
    row = await connection.fetchrow(
        "select prompt, system_prompt from gateway.prompts where owner = $1 and task_id = $2", uuid(owner), uuid(task_id)
    )
    return None if row is None else Told(row["prompt"], row["system_prompt"])


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a task's repository is and what its change is called."""

    url: str
    base_ref: str | None
    branch: str
    title: str
    protected_paths: tuple[str, ...]


async def destination(connection: Connection, owner: OwnerId, task_id: TaskId, repository_id: RepositoryId) -> Destination | None:
    """The repository that the owner's task works on, when it is that one."""
    row = await connection.fetchrow(
        """select r.url, coalesce(t.base_ref, r.default_base_ref) as base_ref, t.branch, t.title, p.protected_paths
           from gateway.tasks t
           join gateway.repositories r on r.owner = t.owner and r.id = t.repository_id
           join gateway.projects p on p.owner = t.owner and p.id = t.project_id
           where t.owner = $1 and t.id = $2 and r.id = $3""",
        uuid(owner),
        uuid(task_id),
        uuid(repository_id),
    )
    if row is None:
        return None
    return Destination(row["url"], row["base_ref"], row["branch"], row["title"], tuple(row["protected_paths"]))


def task_of(stored: Task, progress: Progress, updated_at: datetime) -> Task:
    """The task as it is shown after more facts."""
    view = progress.view
    return stored.model_copy(
        update={name: getattr(view, name) for name in _SHOWN}
        | {"run_ids": list(view.run_ids), "state": progress.state, "updated_at": updated_at}
    )


_SHOWN: Final = (
    "outcome",
    "failure",
    "base_sha",
    "tree_sha",
    "commit_sha",
    "usage",
    "change",
    "pull_request_number",
    "started_at",
    "ended_at",
    "budget",
    "begins_anew",
    "kept",
    "refused",
    "environment",
)


def _stored(row: Record) -> Stored:
    # An older row may hold what this version does not know, and lacks what it added: both are fine.
    view = View.model_validate(json.loads(row["view"]), extra="ignore")
    progress = Progress(state=TaskState(row["state"]), evt_first=row["evt_first"], evt_sequence=row["evt_sequence"], view=view)
    task = Task(
        id=TaskId(str(row["id"])),
        project_id=ProjectId(str(row["project_id"])),
        repository_id=RepositoryId(str(row["repository_id"])),
        title=row["title"],
        agent=row["agent"],
        model=row["model"],
        base_ref=row["base_ref"],
        branch=row["branch"],
        agent_options=AgentOptions.model_validate_json(row["agent_options"], extra="ignore"),
        limits=Limits.model_validate_json(row["limits"], extra="ignore"),
        state=progress.state,
        run_ids=list(view.run_ids),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        **{name: getattr(view, name) for name in _SHOWN},
    )
    return Stored(progress, task)
