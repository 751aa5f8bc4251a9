"""API tokens from making one to its end: what it opens, what is stored and told of it, and what becomes of it the moment it is revoked."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import asyncpg
import httpx
import pytest

from services.gateway.identity import claims
from shared.events import catalogue, facts
from shared.store.database import Database
from tests.servers.nats import free_port

from .stack import Gateway, Json, Person
from .test_edge import is_problem

READ_TASKS: Json = {"name": "nightly build", "scopes": ["tasks:read"]}


@asynccontextmanager
async def machine(gateway: Gateway, somebody: Person, token: str) -> AsyncGenerator[Person]:
    """Who has somebody's token."""
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=30, trust_env=False) as client:
        yield Person(somebody.id, token, client)


async def sql(gateway: Gateway, statement: str, *values: Any) -> Any:
    """As the database's owner; gives the first value."""
    connection = await gateway.database.connect()
    try:
        return await connection.fetchval(statement, *values)
    finally:
        await connection.close()


async def told(gateway: Gateway, somebody: Person, fact: str, count: int) -> list[Json]:
    """The facts of this name about somebody's tokens, as soon as there are so many."""
    async with gateway.service("scheduler") as scheduler, asyncio.timeout(10):
        while len(found := await scheduler.bus.read("EVT", f"evt.token.{fact}.{somebody.id}.-", 0)) < count:
            pass
    return [catalogue.parse(message.data).data.model_dump(mode="json") for message in found]


async def test_a_token_is_shown_once_and_stored_by_its_digest_alone(gateway: Gateway, somebody: Person) -> None:
    made = await somebody.post("/v1/tokens", READ_TASKS | {"scopes": ["tasks:write", "tasks:read", "tasks:read"]})
    token = made.pop("token")
    assert (made["scopes"], made["last_used_at"], made["revoked_at"]) == (["tasks:read", "tasks:write"], None, None)
    assert (await somebody.get("/v1/tokens"))["items"] == [made]
    assert token.startswith(made["prefix"])
    row = await sql(gateway, "select t::text from gateway.api_tokens t")
    assert hashlib.sha256(token.encode()).hexdigest() in row
    (created,) = await told(gateway, somebody, "created", 1)
    assert created == {"token_id": made["id"], "scopes": made["scopes"], "expires_at": made["expires_at"]}
    async with machine(gateway, somebody, token) as robot:
        me = await robot.get("/v1/me")
    assert (me["id"], me["session_id"], me["token_id"], me["scopes"]) == (somebody.id, None, made["id"], made["scopes"])
    assert me["expires_at"].partition(".")[0] == made["expires_at"].partition(".")[0]
    async with gateway.service("scheduler") as scheduler:
        messages = b"".join(message.data for message in await scheduler.bus.read("EVT", "evt.>", 0))
    for seen in (row, gateway.log_file.read_text(), messages.decode()):
        assert token not in seen
        assert token[:12] not in seen
        assert READ_TASKS["name"] not in seen or seen == row


async def test_what_a_machine_makes_is_its_owners_and_no_more_than_its_owner_may(
    gateway: Gateway, somebody: Person, another: Person
) -> None:
    theirs = await another.task()
    project = await somebody.project()
    made = await somebody.post("/v1/tokens", {"name": "n", "scopes": ["tasks:read", "tasks:write"]})
    async with machine(gateway, somebody, made["token"]) as robot:
        task = await robot.task(project)
        assert [item["id"] for item in (await robot.get("/v1/tasks"))["items"]] == [task.id]
        is_problem(await robot.http.get(f"/v1/tasks/{theirs.id}"), 404, "not-found")
        is_problem(await robot.http.post(f"/v1/tasks/{theirs.id}/cancel"), 404, "not-found")
        answer = await robot.http.post("/v1/tasks", json={"project_id": await another.project(), "agent": "shell", "prompt": "x"})
        is_problem(answer, 404, "not-found")
    assert (await somebody.get(f"/v1/tasks/{task.id}"))["id"] == task.id


async def test_a_revoked_token_opens_nothing_at_any_replica_from_the_next_request_on(
    gateway: Gateway, somebody: Person, another: Person
) -> None:
    second = replace(gateway, port=free_port(), health_port=free_port(), process=None)
    await second.start()
    try:
        made = await somebody.post("/v1/tokens", READ_TASKS)
        async with machine(gateway, somebody, made["token"]) as here, machine(second, somebody, made["token"]) as there:
            await here.get("/v1/tasks")
            await there.get("/v1/tasks")
            path = f"/v1/tokens/{made['id']}"
            is_problem(await another.http.delete(path), 404, "not-found")
            await there.get("/v1/tasks")
            assert (await somebody.http.delete(path)).status_code == 204
            for robot in (there, here):
                is_problem(await robot.http.get("/v1/tasks"), 401, "token-unknown")
            assert (await somebody.http.delete(path)).status_code == 204
    finally:
        await second.stop()
    assert (await somebody.get("/v1/tokens"))["items"][0]["revoked_at"]
    assert await told(gateway, somebody, "revoked", 1) == [{"token_id": made["id"]}]
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await sql(gateway, "update gateway.api_tokens set revoked_at = null")


async def test_refusals_are_told_apart_where_that_helps_and_nobody_can_flood_the_trail(gateway: Gateway, somebody: Person) -> None:
    made = await somebody.post("/v1/tokens", READ_TASKS)
    never = "acp_" + "0" * 29 + "12BGGxU"
    async with machine(gateway, somebody, made["token"]) as robot:
        for _ in range(5):
            is_problem(await robot.http.get("/v1/projects"), 403, "insufficient-scope")
            is_problem(await robot.http.post("/v1/tokens", json=READ_TASKS), 403, "person-needed")
        await sql(gateway, "update gateway.api_tokens set expires_at = now()")
        for _ in range(5):
            is_problem(await robot.http.get("/v1/tasks"), 401, "token-expired")
        await somebody.http.delete(f"/v1/tokens/{made['id']}")
        revoked = [await robot.http.get("/v1/tasks") for _ in range(5)]
        is_problem(revoked[0], 401, "token-unknown")
        for wrong in (never, made["token"][:-1]):
            is_problem(await robot.http.get("/v1/tasks", headers={"authorization": f"Bearer {wrong}"}), 401, "token-malformed")
    reasons = [fact["reason"] for fact in await told(gateway, somebody, "refused", 3)]
    assert reasons == ["scope", "expired", "revoked"]
    lines = [line for line in gateway.log_file.read_text().splitlines() if "token_refused" in line]
    assert len(lines) == 22
    assert made["token"] not in "".join(lines)


async def test_the_last_use_is_written_once_a_minute(gateway: Gateway, somebody: Person) -> None:
    made = await somebody.post("/v1/tokens", READ_TASKS)
    version = "select xmin::text from gateway.api_tokens"
    async with machine(gateway, somebody, made["token"]) as robot:
        await asyncio.gather(*(robot.get("/v1/tasks") for _ in range(8)))
        first, used = await sql(gateway, version), await sql(gateway, "select last_used_at from gateway.api_tokens")
        assert used is not None
        await asyncio.gather(*(robot.get("/v1/tasks") for _ in range(8)))
        assert await sql(gateway, version) == first
        await sql(gateway, "update gateway.api_tokens set last_used_at = now() - interval '61 seconds'")
        await robot.get("/v1/tasks")
    assert await sql(gateway, "select last_used_at > now() - interval '30 seconds' from gateway.api_tokens")


async def test_a_stream_sends_nothing_more_by_a_revoked_token(gateway: Gateway, somebody: Person) -> None:
    task = await somebody.task()
    made = await somebody.post("/v1/tokens", READ_TASKS)
    async with (
        machine(gateway, somebody, made["token"]) as robot,
        gateway.service("scheduler") as scheduler,
        robot.events(task) as events,
    ):
        assert (await anext(events)).name == "snapshot"
        await scheduler.says(task, facts.TaskQueued())
        assert (await anext(events)).data["state"] == "queued"
        assert (await somebody.http.delete(f"/v1/tokens/{made['id']}")).status_code == 204
        async with asyncio.timeout(10):  # a heartbeat later it has ended by itself
            assert [event async for event in events] == []


async def test_a_token_is_found_by_who_has_it_and_by_nobody_else(gateway: Gateway, somebody: Person, another: Person) -> None:
    """Row-level security alone, as the service's own role."""
    made = await somebody.post("/v1/tokens", READ_TASKS)
    await another.post("/v1/tokens", READ_TASKS)
    digest = hashlib.sha256(made["token"].encode()).hexdigest()
    database = await Database.open(gateway.database.settings("gateway"))
    try:
        async with database.transaction({"api_token_digest": digest}) as connection:
            assert [str(row["id"]) for row in await connection.fetch("select id from gateway.api_tokens")] == [made["id"]]
            for statement in ("update gateway.api_tokens set revoked_at = now()", "delete from gateway.api_tokens"):
                assert (await connection.execute(statement)).endswith(" 0")
            assert await connection.fetchval("select count(*) from gateway.projects") == 0
        for nothing in ({"api_token_digest": "00" * 32}, {"api_token_digest": ""}, {}, claims(another.id)):
            async with database.transaction(nothing) as connection:
                assert made["id"] not in str(await connection.fetch("select id from gateway.api_tokens"))
    finally:
        await database.close()


INVALID: list[tuple[Json, str, str]] = [
    ({"scopes": []}, "body.scopes", "too_short"),
    ({"scopes": ["root"]}, "body.scopes.0", "enum"),
    ({"scopes": ["tasks:*"]}, "body.scopes.0", "enum"),
    ({"name": " "}, "body.name", "string_too_short"),
    ({"name": "a\u0000b"}, "body.name", "one_line"),
    ({"expires_in_seconds": 0}, "body.expires_in_seconds", "greater_than_equal"),
    ({"expires_in_seconds": 10**10}, "body.expires_in_seconds", "less_than_equal"),
    ({"owner": "x"}, "body.owner", "extra_forbidden"),
    ({"token": "acp_mine"}, "body.token", "extra_forbidden"),
]


async def test_what_is_no_token_to_make_is_told_why(somebody: Person) -> None:
    for body, field, rule in INVALID:
        answer = await somebody.http.post("/v1/tokens", json=READ_TASKS | body)
        is_problem(answer, 422, "invalid")
        assert [(fault["field"], fault["rule"]) for fault in answer.json()["errors"]] == [(field, rule)]


async def test_an_owner_has_a_hundred_at_most_and_revoking_one_makes_room(gateway: Gateway, somebody: Person) -> None:
    first = await somebody.post("/v1/tokens", READ_TASKS)
    await sql(
        gateway,
        """insert into gateway.api_tokens (id, owner, name, prefix, digest, scopes, expires_at)
           select gen_random_uuid(), owner, name, prefix, sha256(n::text::bytea), scopes, expires_at
           from gateway.api_tokens, generate_series(1, 97) n""",
    )
    answers = await asyncio.gather(*(somebody.http.post("/v1/tokens", json=READ_TASKS) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409, 409, 409]
    await somebody.http.delete(f"/v1/tokens/{first['id']}")
    assert (await somebody.http.post("/v1/tokens", json=READ_TASKS)).status_code == 201
    assert len((await somebody.get("/v1/tokens", limit="100"))["items"]) == 100
