"""The git token of a publish by hand: a task may have failed for its token, so a newer one counts, as for a new task."""

from services.gateway.credentials import queries as credentials
from services.gateway.credentials.schemas import Credential
from services.gateway.errors import invalid
from services.gateway.repositories import queries as repositories
from services.gateway.tasks import queries
from services.gateway.tasks.schemas import Task
from shared.events.ids import CredentialId, OwnerId
from shared.events.values import CredentialRef, Purpose
from shared.store.database import Connection


async def chosen(connection: Connection, owner: OwnerId, task: Task, named: CredentialId | None) -> CredentialRef | None:
    """The token that is named, else the newest that fits; the task may open it from here on. None: the task's own."""
    known = await repositories.of_project(connection, owner, task.project_id)
    host = next((repository.host for repository in known if repository.id == task.repository_id), "")
    token = await _newest(connection, owner, task, host) if named is None else await _named(connection, owner, task, host, named)
    if token is None:
        return None
    reference = CredentialRef(credential_id=token.id, version=token.version, purpose=token.purpose)
    await queries.name_credential(connection, owner, task.id, reference)
    return reference


async def _newest(connection: Connection, owner: OwnerId, task: Task, host: str) -> Credential | None:
    return await credentials.newest_git_token(connection, owner, task.project_id, host) if host else None


async def _named(connection: Connection, owner: OwnerId, task: Task, host: str, named: CredentialId) -> Credential:
    token = (await credentials.named(connection, owner, (named,))).get(named)
    if token is None or token.purpose is not Purpose.GIT_TOKEN:
        raise invalid("body.credential_id", "not_found", "is no git token of yours")
    if token.host not in (None, host):
        raise invalid("body.credential_id", "credential_host", "the git token is stored for another host than the repository's")
    if token.project_id not in (None, task.project_id):
        raise invalid("body.credential_id", "credential_project", "the git token is stored for another project")
    return token
