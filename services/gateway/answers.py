"""What the gateway tells other services when they ask: prompts, addresses, titles, sealed credentials. None of it ever enters a stream.

Each answer is looked up as the task's owner, by claims, so a question about somebody else's task finds nothing. Of a task that has ended
nothing is told: a command that was held up for days must neither run an agent nor push. Of one that a person reopened to publish what it
made, only what a push needs is told. NATS permissions decide who may ask what.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from services.gateway.credentials import queries as credentials
from services.gateway.environments import queries as environments
from services.gateway.identity import claims
from services.gateway.tasks import freshness, queries
from services.gateway.tasks.position import Read
from services.gateway.tasks.queries import Destination
from shared.bus.errors import Refused
from shared.events import envelope
from shared.events.facts import CredentialOpened
from shared.events.questions import (
    AskPublication,
    AskRunInput,
    AskSealedCredential,
    AskWorkspaceSource,
    Publication,
    RunInput,
    SealedCredential,
    WorkspaceSource,
)
from shared.events.values import Purpose
from shared.store.database import Connection, Database
from shared.store.outbox import Outbox

_About = AskRunInput | AskWorkspaceSource | AskPublication | AskSealedCredential
_OF_A_PUSH = AskPublication | AskSealedCredential


class Answers:
    """The handlers of `rpc.gateway.…`. Each raises Refused("not_found") where there is nothing of that owner's that is under way."""

    def __init__(self, database: Database, outbox: Outbox, read: Read) -> None:
        self._database = database
        self._outbox = outbox
        self._read = read

    async def run_input(self, question: AskRunInput) -> RunInput:
        """What the agent is told."""
        async with self._about(question) as (connection, _reopened):
            told = await queries.told(connection, question.owner, question.task_id)
            environment = await environments.of_task(connection, question.owner, question.task_id)
        if told is None:
            raise Refused("not_found")
        return RunInput(prompt=told.prompt, system_prompt=told.system_prompt or "", environment=environment)

    async def workspace_source(self, question: AskWorkspaceSource) -> WorkspaceSource:
        """Where the base comes from."""
        destination = await self._destination(question)
        return WorkspaceSource(url=destination.url, base_ref=destination.base_ref)

    async def publication(self, question: AskPublication) -> Publication:
        """Where a change goes and what it is called."""
        destination = await self._destination(question)
        return Publication(
            url=destination.url, branch=destination.branch, title=destination.title, protected_paths=destination.protected_paths
        )

    async def sealed_credential(self, question: AskSealedCredential) -> SealedCredential:
        """The sealed value of a credential the task named. That it was handed out is a fact, stored in the same transaction."""
        async with self._about(question) as (connection, reopened):
            found = await credentials.sealed_for_task(
                connection, question.owner, question.task_id, question.credential_id, question.version
            )
            if found is None:
                raise Refused("not_found")
            purpose, sealed, base_url = found
            if reopened and purpose is not Purpose.GIT_TOKEN:
                raise Refused("not_found")
            fact = CredentialOpened(credential_id=question.credential_id, version=question.version, purpose=purpose)
            opened = envelope.new(fact, source="gateway", owner=question.owner, task=question.task_id)
            await self._outbox.enqueue(connection, opened)
        return SealedCredential.model_construct(sealed=sealed, base_url=base_url)

    async def _destination(self, question: AskWorkspaceSource | AskPublication) -> Destination:
        async with self._about(question) as (connection, _reopened):
            found = await queries.destination(connection, question.owner, question.task_id, question.repository_id)
        if found is None:
            raise Refused("not_found")
        return found

    @asynccontextmanager
    async def _about(self, question: _About) -> AsyncGenerator[tuple[Connection, bool]]:
        """A transaction as the task's owner, and whether a person reopened the task.

        Raises Refused where the task is not theirs, has ended, or was reopened and this is not about its push; ReadFailed.
        """
        async with self._database.transaction(claims(question.owner)) as connection:
            stored = await queries.get(connection, question.owner, question.task_id)
            if stored is not None:
                # The question may be here before the facts that stand before it in the bus are folded: an end, or that it was reopened.
                stored = await freshness.caught_up(self._read, question.owner, stored)
            if stored is None or stored.progress.ended:
                raise Refused("not_found")
            reopened = stored.progress.view.reopened
            if reopened and not isinstance(question, _OF_A_PUSH):
                raise Refused("not_found")
            yield connection, reopened
