"""Handing in a task: what was left out is filled in, and task, prompt and command are stored in one transaction.

The command carries ids, limits and a salted hash: nothing a person wrote leaves the gateway's database.
"""

import hashlib
import secrets
from typing import Final

from services.gateway import agent_options, agents, ceilings
from services.gateway.agent_options import AgentDefaults
from services.gateway.agents import Agent
from services.gateway.branches import branch
from services.gateway.credentials import queries as credentials
from services.gateway.credentials.schemas import Credential
from services.gateway.errors import FieldError, NotFound, invalid
from services.gateway.parts import Parts
from services.gateway.projects import queries as projects
from services.gateway.repositories import queries as repositories
from services.gateway.repositories.schemas import Repository
from services.gateway.tasks import queries
from services.gateway.tasks.schemas import DERIVED_TITLE_CHARS, NewTask, Task
from shared.events import envelope, ids
from shared.events.commands import SchedulerSubmit
from shared.events.ids import CredentialId, OwnerId, ProjectId, TaskId
from shared.events.values import CredentialRef, Purpose
from shared.store.database import Connection

SALT_BYTES: Final = 32
"""As long as the hash: the digest in the trail then tells nothing about a short prompt."""


def title_of(prompt: str) -> str:
    """The prompt's first line that says something, cut to a title's length."""
    line = next(line for line in prompt.splitlines() if line.strip())
    printable = "".join(character if character.isprintable() else " " for character in line)
    title = " ".join(printable.split()) or "Task"
    return title if len(title) <= DERIVED_TITLE_CHARS else title[: DERIVED_TITLE_CHARS - 1].rstrip() + "…"


def digest(salt: bytes, prompt: str) -> str:
    """What the trail knows of a prompt."""
    return hashlib.sha256(salt + prompt.encode()).hexdigest()


async def submit(parts: Parts, connection: Connection, owner: OwnerId, new: NewTask) -> Task:
    """Store a task and the command that submits it."""
    ceilings.check(new.limits, parts.settings.max_limits)
    agent = agents.named(parts.settings.agents, new.agent, "body.agent")
    agent_options.check(new.agent_options, agent, "body.agent_options")
    project = await projects.get(connection, owner, new.project_id, share=True)
    if project is None:
        raise _not_found("body.project_id", "There is no such project, or it is not yours.")
    new = _with_defaults(new, project.agent_defaults.get(new.agent, AgentDefaults()))
    repository = await _repository(connection, owner, new)
    chosen = await _credentials(connection, owner, new, repository, agent)
    task_id = TaskId(ids.fresh())
    title = new.title or title_of(new.prompt)
    insertion = queries.Insertion(
        owner=owner,
        task_id=task_id,
        project_id=new.project_id,
        repository_id=repository.id,
        agent=new.agent,
        model=new.model,
        title=title,
        branch=branch(task_id, title),
        base_ref=new.base_ref or repository.default_base_ref,
        agent_options=new.agent_options.travelling,
        limits=new.limits,
        credentials=chosen,
        prompt=new.prompt,
        system_prompt=new.agent_options.append_system_prompt,
        salt=secrets.token_bytes(SALT_BYTES),
        environment_digest=project.environment_digest,
    )
    command = SchedulerSubmit(
        project_id=new.project_id,
        repository_id=repository.id,
        agent=new.agent,
        model=new.model,
        agent_options=insertion.agent_options,
        limits=new.limits,
        publish_policy=project.publish_policy,
        max_cost_usd=new.max_cost_usd,
        credentials=chosen,
        prompt_digest=digest(insertion.salt, new.prompt),
        packages=tuple(project.allow_packages),
        environment=project.environment_digest,
        system_prompt_digest=digest(insertion.salt, insertion.system_prompt) if insertion.system_prompt else None,
    )
    stored = await queries.insert(connection, insertion)
    await parts.outbox.enqueue(connection, envelope.new(command, source="gateway", owner=owner, task=task_id))
    return stored.task


def _with_defaults(new: NewTask, defaults: AgentDefaults) -> NewTask:
    """The task as it is asked for, and of the rest as the project says for its agent."""
    limits = new.limits
    if defaults.max_turns is not None and "max_turns" not in limits.model_fields_set:
        limits = limits.model_copy(update={"max_turns": defaults.max_turns})
    options = agent_options.over(defaults, new.agent_options)
    return new.model_copy(update={"model": new.model or defaults.model, "limits": limits, "agent_options": options})


async def _repository(connection: Connection, owner: OwnerId, new: NewTask) -> Repository:
    known = await repositories.of_project(connection, owner, new.project_id)
    if new.repository_id is not None:
        named = next((repository for repository in known if repository.id == new.repository_id), None)
        if named is None:
            raise _not_found("body.repository_id", "The project has no such repository.")
        return named
    if not known:
        raise invalid("body.repository_id", "repository_missing", "the project has no repository yet; add one first")
    if len(known) > 1:
        raise invalid("body.repository_id", "repository_ambiguous", f"the project has {len(known)} repositories: name one")
    return known[0]


async def _credentials(
    connection: Connection, owner: OwnerId, new: NewTask, repository: Repository, agent: Agent
) -> tuple[CredentialRef, ...]:
    """At most one credential per purpose: those named, else the newest that fits."""
    named = await _named(connection, owner, new.project_id, new.credential_ids)
    git_token, model_key = named.get(Purpose.GIT_TOKEN), named.get(Purpose.MODEL_KEY)
    if git_token is not None and git_token.host not in (None, repository.host):
        raise invalid("body.credential_ids", "credential_host", "the git token is stored for another host than the repository's")
    if model_key is not None and model_key.vendor != agent.vendor:
        raise invalid("body.credential_ids", "credential_vendor", f"the model key is not of the vendor that {agent.name} uses")
    if git_token is None and repository.host:
        git_token = await credentials.newest_git_token(connection, owner, new.project_id, repository.host)
    if model_key is None and agent.vendor is not None:
        model_key = await credentials.newest_model_key(connection, owner, new.project_id, agent.vendor)
        if model_key is None:
            message = f"{agent.name} needs a model key of {agent.vendor}: store one with POST /v1/credentials"
            raise invalid("body.credential_ids", "model_key_missing", message)
    return tuple(
        CredentialRef(credential_id=credential.id, version=credential.version, purpose=credential.purpose)
        for credential in (git_token, model_key)
        if credential is not None
    )


async def _named(
    connection: Connection, owner: OwnerId, project_id: ProjectId, wanted: tuple[CredentialId, ...]
) -> dict[Purpose, Credential]:
    found = await credentials.named(connection, owner, wanted) if wanted else {}
    if any(credential_id not in found for credential_id in wanted):
        raise _not_found("body.credential_ids", "There is no such credential, or it is not yours.")
    by_purpose = {credential.purpose: credential for credential in found.values()}
    if len(by_purpose) < len(wanted):
        raise invalid("body.credential_ids", "one_per_purpose", "name at most one credential per purpose")
    if any(credential.project_id not in (None, project_id) for credential in found.values()):
        raise invalid("body.credential_ids", "credential_project", "a credential is stored for another project")
    return by_purpose


def _not_found(field: str, message: str) -> NotFound:
    return NotFound(message, errors=(FieldError(field, "not_found", message),))
