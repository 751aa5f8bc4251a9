"""What the gateway keeps: whose it is, in whatever order facts come, and never a secret in the clear."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import asyncpg
import pytest
from pydantic import SecretBytes

from services.gateway.identity import claims
from services.gateway.projection import project
from shared.bus.errors import Refused
from shared.events import catalogue, facts
from shared.events.ids import CredentialId, OwnerId, RepositoryId, RunId, TaskId, fresh
from shared.events.questions import AskPublication, AskRunInput, AskSealedCredential, AskWorkspaceSource
from shared.events.values import Purpose
from shared.secrets import Context, Keyring, WrongContext
from shared.store.database import Database

from .stack import Gateway, Person, Service, Task

TABLES = ("projects", "repositories", "credentials", "tasks", "task_credentials", "prompts", "idempotency_keys", "api_tokens")


async def test_row_level_security_alone_holds(gateway: Gateway, somebody: Person, another: Person) -> None:
    """As the service's own role, without any WHERE."""
    project_id = await somebody.project("https://example.com/team/one.git")
    await somebody.post("/v1/credentials", {"purpose": "git_token", "value": "planted-git-token", "host": "example.com"})
    await somebody.post("/v1/tasks", {"project_id": project_id, "agent": "shell", "prompt": "x"}, **{"idempotency-key": "k"})
    await somebody.post("/v1/tokens", {"name": "n", "scopes": ["tasks:read"]})
    database = await Database.open(gateway.database.settings("gateway"))
    try:
        for table in TABLES:
            await _seen_by_its_owner_alone(database, table, somebody, another)
        async with database.transaction(claims(another.id)) as connection:
            assert await connection.execute("update gateway.tasks set state = 'failed'") == "UPDATE 0"
        theirs = f"'{fresh()}', '{somebody.id}', 'x'"
        for person, statement in (
            (another, f"insert into gateway.projects (id, owner, name) values ({theirs})"),  # noqa: S608
            (another, f"insert into gateway.prompts (task_id, owner, prompt, salt) values ({theirs}, sha256('x'))"),  # noqa: S608
            (somebody, "alter table gateway.tasks disable row level security"),
            (somebody, "update gateway.prompts set prompt = 'x'"),
            (somebody, "update gateway.tasks set owner = owner"),
            (somebody, "update gateway.api_tokens set scopes = '{admin}'"),
            (somebody, "update gateway.api_tokens set expires_at = 'infinity'"),
            (somebody, "truncate gateway.tasks"),
            (somebody, "select * from scheduler.tasks"),
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with database.transaction(claims(person.id)) as connection:
                    await connection.execute(statement)
    finally:
        await database.close()
    await _forced_upon_the_service_itself(gateway)


async def _seen_by_its_owner_alone(database: Database, table: str, owner: Person, another: Person) -> None:
    count = f"select count(*) from gateway.{table}"  # noqa: S608
    async with database.transaction(claims(owner.id)) as connection:
        assert await connection.fetchval(count) == 1, table
    nobodies: tuple[Mapping[str, str] | None, ...] = (claims(another.id), {}, None)
    for nobody in nobodies:
        async with database.transaction(nobody) as connection:
            assert await connection.fetchval(count) == 0, table
            assert await connection.execute(f"delete from gateway.{table}") == "DELETE 0"  # noqa: S608


async def _forced_upon_the_service_itself(gateway: Gateway) -> None:
    superuser = await gateway.database.connect()
    try:
        for table in TABLES:
            mine_or_open = """select pg_get_userbyid(relowner) = 'async_code_gateway' or not relforcerowsecurity or not relrowsecurity
                from pg_class where oid = $1::text::regclass"""
            assert await superuser.fetchval(mine_or_open, f"gateway.{table}") is False
    finally:
        await superuser.close()


async def row(gateway: Gateway, task: Task) -> dict[str, Any]:
    connection = await gateway.database.connect()
    try:
        found = await connection.fetchrow(
            "select state, evt_first, evt_sequence, view, updated_at from gateway.tasks where id = $1", task.id
        )
        assert found is not None
        return dict(found) | {"view": json.loads(found["view"])}
    finally:
        await connection.close()


async def test_a_replay_gives_the_same_row(gateway: Gateway, somebody: Person) -> None:
    task, run_id = await somebody.task(), RunId(fresh())
    life: tuple[facts.Fact, ...] = (
        facts.TaskQueued(),
        facts.TaskPreparing(),
        facts.TaskRunning(run_id=run_id),
        facts.RunStarted(run_id=run_id, fence=2, runner_id="r", image_digest="sha256:0"),
        facts.TaskCancelled(),
    )
    async with gateway.service("scheduler") as scheduler, gateway.service("runner") as runner:
        for fact in life:
            await (runner if isinstance(fact, facts.RunStarted) else scheduler).says(task, fact)
        await somebody.shown(task, state="cancelled")
        first = await row(gateway, task)
        subject = f"evt.*.*.{somebody.id}.{task.id}"
        kept = await scheduler.bus.read("EVT", subject, 0)
        database = await Database.open(gateway.database.settings("gateway"))
        try:
            # Everything again, and in the wrong order: nothing changes.
            for message in [*kept, *reversed(kept)]:
                await project(database, scheduler.bus.read, catalogue.parse(message.data), message.sequence)
            assert await row(gateway, task) == first
            # From the start, by whichever fact comes first: the same row.
            for message in (kept[-1], kept[0]):
                await _forget(gateway, task)
                for delivered in (message, *kept):
                    await project(database, scheduler.bus.read, catalogue.parse(delivered.data), delivered.sequence)
                assert await row(gateway, task) == first
        finally:
            await database.close()


async def _forget(gateway: Gateway, task: Task) -> None:
    connection = await gateway.database.connect()
    try:
        await connection.execute(
            "update gateway.tasks set state = 'submitted', evt_first = 0, evt_sequence = 0, view = '{}' where id = $1", task.id
        )
    finally:
        await connection.close()


async def test_no_fact_is_given_up_while_the_database_is_away(gateway: Gateway, somebody: Person) -> None:
    task = await somebody.task()
    async with gateway.service("scheduler") as scheduler:
        await scheduler.says(task, facts.TaskQueued())
        await somebody.shown(task, state="queued")
        gateway.database.server.kill()
        try:
            await scheduler.says(task, facts.TaskPreparing())
            await scheduler.says(task, facts.TaskCancelled())
            async with asyncio.timeout(20):
                while "fact_postponed" not in gateway.log_file.read_text():
                    await asyncio.to_thread(gateway.log_file.read_text)
        finally:
            gateway.database.server.start()
        async with asyncio.timeout(60):
            while (await somebody.http.get(f"/v1/tasks/{task.id}")).status_code == 503:
                pass
        await somebody.shown(task, state="cancelled")
    async with gateway.service("ops") as ops:
        assert await ops.bus.read("DLQ", "dlq.gateway.>", 0) == []


async def test_services_are_told_what_is_theirs_to_know(gateway: Gateway, somebody: Person, another: Person) -> None:
    project_id = await somebody.project("https://example.com/team/one.git")
    await somebody.post("/v1/credentials", {"purpose": "git_token", "value": "another-hosts-token", "host": "example.org"})
    git_token = await somebody.post("/v1/credentials", {"purpose": "git_token", "value": "planted-git-token", "host": "Example.com"})
    model_key = await somebody.post("/v1/credentials", {"purpose": "model_key", "value": "planted-model-key", "vendor": "anthropic"})
    made = await somebody.post("/v1/tasks", {"project_id": project_id, "agent": "claude-code", "prompt": "Do it", "base_ref": "dev"})
    task = TaskId(made["id"])
    mine, repository = OwnerId(somebody.id), RepositoryId(made["repository_id"])
    async with gateway.service("git") as git, gateway.service("runner") as runner:
        assert (await runner.bus.ask(AskRunInput(owner=mine, task_id=task, run_id=RunId(fresh())))).prompt == "Do it"
        source = await git.bus.ask(AskWorkspaceSource(owner=mine, task_id=task, repository_id=repository))
        assert (source.url, source.base_ref) == ("https://example.com/team/one.git", "dev")
        publication = await git.bus.ask(AskPublication(owner=mine, task_id=task, repository_id=repository))
        assert (publication.branch, publication.title) == (f"async-code/{task[:8]}-do-it", "Do it")
        for service, keyring, stored, value, purpose, place in (
            (git, gateway.git_keys, git_token, b"planted-git-token", Purpose.GIT_TOKEN, ""),
            (runner, gateway.egress_keys, model_key, b"planted-model-key", Purpose.MODEL_KEY, "anthropic"),
        ):
            context = Context(purpose=purpose, owner=mine, credential_id=CredentialId(stored["id"]), version=1, place=place)
            sealed = (
                await service.bus.ask(AskSealedCredential(owner=mine, task_id=task, credential_id=context.credential_id, version=1))
            ).sealed
            assert keyring.open(sealed, context) == SecretBytes(value)
            _does_not_open(keyring, sealed, context)
        await _are_refused(git, somebody, another, task, git_token["id"])
    async with gateway.service("scheduler") as scheduler:
        async with asyncio.timeout(10):
            while len(opened := await scheduler.bus.read("EVT", f"evt.credential.opened.{somebody.id}.{task}", 0)) < 2:
                pass
        assert {catalogue.parse(message.data).data.credential_id for message in opened} == {git_token["id"], model_key["id"]}
    await _nothing_in_the_clear(gateway, somebody)


def _does_not_open(keyring: Keyring, sealed: bytes, context: Context) -> None:
    stranger = Context(purpose=context.purpose, owner=OwnerId(fresh()), credential_id=context.credential_id, version=1)
    with pytest.raises(WrongContext):
        keyring.open(sealed, stranger)


async def _are_refused(git: Service, somebody: Person, another: Person, task: TaskId, credential: str) -> None:
    mine, credential_id = OwnerId(somebody.id), CredentialId(credential)
    unnamed = await somebody.post("/v1/credentials", {"purpose": "git_token", "value": "unnamed-token", "host": "example.com"})
    other = TaskId((await another.task()).id)
    for question in (
        AskSealedCredential(owner=OwnerId(another.id), task_id=task, credential_id=credential_id, version=1),
        AskSealedCredential(owner=OwnerId(another.id), task_id=other, credential_id=credential_id, version=1),
        AskSealedCredential(owner=mine, task_id=other, credential_id=credential_id, version=1),
        AskSealedCredential(owner=mine, task_id=task, credential_id=credential_id, version=2),
        AskSealedCredential(owner=mine, task_id=task, credential_id=CredentialId(unnamed["id"]), version=1),
        AskWorkspaceSource(owner=OwnerId(another.id), task_id=task, repository_id=RepositoryId(fresh())),
        AskPublication(owner=mine, task_id=task, repository_id=RepositoryId(fresh())),
    ):
        with pytest.raises(Refused) as refused:
            await git.bus.ask(question)
        assert refused.value.reason == "not_found"
    assert (await somebody.http.delete(f"/v1/credentials/{credential}")).status_code == 204
    with pytest.raises(Refused):
        await git.bus.ask(AskSealedCredential(owner=mine, task_id=task, credential_id=credential_id, version=1))


async def _nothing_in_the_clear(gateway: Gateway, somebody: Person) -> None:
    """The planted values are in no row, no message, no answer and no line of the log."""
    seen = gateway.log_file.read_text()
    for path in ("/v1/credentials", "/v1/tasks", "/v1/projects"):
        seen += (await somebody.http.get(path)).text
    connection = await gateway.database.connect()
    try:
        for table in (*TABLES, "outbox", "inbox"):
            seen += str(await connection.fetchval(f"select string_agg(t::text, ' ') from gateway.{table} t"))  # noqa: S608
    finally:
        await connection.close()
    async with gateway.service("scheduler") as scheduler:
        for stream, subject in (("CMD", "cmd.>"), ("EVT", "evt.>")):
            messages = await scheduler.bus.read(stream, subject, 0)
            assert messages
            seen += " ".join(message.data.decode() for message in messages)
            assert all(word not in message.data for message in messages for word in (b"Do it", b"example.com", b"async-code/"))
    for value in ("planted-git-token", "planted-model-key", "unnamed-token", "another-hosts-token"):
        assert value not in seen
        assert value.encode().hex() not in seen
