"""Nobody gets past the edge without a token, nobody sees another's things, and every refusal says what was expected."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from joserfc import jwt

from deploy.embedded.auth import keys
from services.gateway.access import PUBLIC, TABLE, Who
from shared.events.ids import fresh
from shared.events.values import TokenScope

from .stack import Gateway, Json, Person

MEMBERS = {"type", "title", "status", "detail", "advice", "instance", "request_id", "errors"}


def filled(path: str, **known: str) -> str:
    """An OpenAPI path with ids."""
    for name in ("project_id", "task_id", "credential_id", "token_id"):
        path = path.replace("{" + name + "}", known.get(name, fresh()))
    return path.replace("{agent}", "shell")


BODIES: dict[str, Json] = {
    "/v1/projects": {"name": "x"},
    "/v1/projects/{project_id}/repositories": {"url": "https://example.com/a/b.git"},
    "/v1/projects/{project_id}/budget": {"monthly_usd": 1},
    "/v1/projects/{project_id}/environment": {"setup_script": "mkdir lib", "directories": ["lib"]},
    "/v1/tasks/{task_id}/approve": {"tree_sha": "a" * 40},
}


async def operations(client: httpx.AsyncClient) -> list[tuple[str, str]]:
    document = (await client.get("/v1/openapi.json")).json()
    return [(method.upper(), path) for path, methods in document["paths"].items() for method in methods]


def is_problem(answer: httpx.Response, status: int, name: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    problem = answer.json()
    assert problem.keys() == MEMBERS
    assert (problem["type"], problem["status"]) == (f"urn:async-code:problem:{name}", status)
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["detail"]
    assert problem["advice"]
    assert "Traceback" not in answer.text


async def test_no_route_is_open_but_the_public_ones(gateway: Gateway) -> None:
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as nobody:
        known = await operations(nobody)
        assert len(known) > 20
        for method, path in known:
            answer = await nobody.request(method, filled(path), json={})
            if path in PUBLIC:
                assert answer.status_code == 200
            else:
                is_problem(answer, 401, "unauthenticated")
                assert answer.headers["www-authenticate"].startswith("Bearer ")
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "access-control-allow-origin" not in answer.headers
        for path in ("/nothing", "/v1/tasks/../../etc/passwd", "/docs", "/redoc", "/openapi.json"):
            is_problem(await nobody.get(path), 401, "unauthenticated")
        sign_in = (await nobody.get("/v1/auth")).json()
        assert sign_in["auth_url"] == f"{gateway.auth.url}/auth/v1"


async def test_only_a_genuine_token_is_believed(gateway: Gateway, somebody: Person) -> None:
    me = await somebody.get("/v1/me")
    assert (me["id"], me["email"], me["role"]) == (somebody.id, "test@example.com", "authenticated")
    key = keys.load(gateway.directory / "signing-key.json")
    now = datetime.now(UTC).timestamp()
    good: dict[str, Any] = {"iss": f"{gateway.auth.url}/auth/v1", "aud": "authenticated", "exp": now + 60, "iat": now, "sub": somebody.id}
    good |= {"role": "authenticated", "session_id": fresh()}

    async def status(header: Json | None = None, **changes: Any) -> int:
        token = jwt.encode({"alg": "ES256", "kid": key.kid} | (header or {}), good | changes, key, algorithms=["ES256"])
        return (await somebody.http.get("/v1/me", headers={"authorization": f"Bearer {token}"})).status_code

    assert await status() == 200
    wrong: list[Json] = [{"exp": now - 60}, {"aud": "anon"}, {"iss": "https://evil.example"}, {"role": "service_role"}, {"sub": "x"}]
    for changes in wrong:
        assert await status(None, **changes) == 401
    assert await status({"kid": "made-up"}) == 401
    head, body, _ = somebody.token.split(".")
    for token in (f"{head}.{body}.", f"{head}.{body}.AAAA", "x"):
        is_problem(await somebody.http.get("/v1/me", headers={"authorization": f"Bearer {token}"}), 401, "unauthenticated")
    # What is sent as a user id is an unknown field, or nothing.
    assert (await somebody.http.get("/v1/me", headers={"x-user-id": fresh()})).json()["id"] == somebody.id


async def test_anothers_ids_are_not_found_on_every_route(somebody: Person, another: Person) -> None:
    project = await somebody.project("https://example.com/team/one.git")
    credential = (await somebody.post("/v1/credentials", {"purpose": "git_token", "value": "planted-git-token", "host": "example.com"}))[
        "id"
    ]
    task = await somebody.task(project)
    repository = (await somebody.get(f"/v1/projects/{project}/repositories"))["items"][0]["id"]
    token = await somebody.post("/v1/tokens", {"name": "n", "scopes": ["tasks:read"]})
    found = {"project_id": project, "task_id": task.id, "credential_id": credential, "token_id": token["id"]}
    checked = 0
    for method, path in await operations(another.http):
        if "{" not in path:
            continue
        theirs = await another.http.request(method, filled(path, **found), json=BODIES.get(path, {}))
        nobodys = await another.http.request(method, filled(path), json=BODIES.get(path, {}))
        is_problem(theirs, 404, "not-found")
        assert _without_ids(theirs) == _without_ids(nobodys)
        checked += 1
    assert checked >= 11
    own = await another.project()
    for body in (
        {"project_id": project},
        {"project_id": own, "repository_id": repository},
        {"project_id": own, "credential_ids": [credential]},
    ):
        answer = await another.http.post("/v1/tasks", json={"agent": "shell", "prompt": "x"} | body)
        is_problem(answer, 404, "not-found")
        assert answer.json()["errors"][0]["field"] == f"body.{list(body)[-1]}"
    is_problem(
        await another.http.post("/v1/credentials", json={"purpose": "git_token", "value": "abcdefgh", "project_id": project}),
        404,
        "not-found",
    )
    for path in ("/v1/projects", "/v1/tasks", "/v1/credentials", "/v1/tokens"):
        assert somebody.id not in (await another.http.get(path)).text
        assert not {project, task.id, credential, token["id"]} & {item["id"] for item in (await another.get(path))["items"]}
    assert (await somebody.get(f"/v1/tasks/{task.id}"))["state"] == "submitted"
    assert len((await somebody.get("/v1/credentials"))["items"]) == 1
    assert (await somebody.get("/v1/tokens"))["items"][0]["revoked_at"] is None


def _without_ids(answer: httpx.Response) -> Json:
    return {name: value for name, value in answer.json().items() if name not in {"instance", "request_id"}}


INVALID: list[tuple[str, str, Json, str, str]] = [
    ("POST", "/v1/projects", {}, "body.name", "missing"),
    ("POST", "/v1/projects", {"name": "  "}, "body.name", "string_too_short"),
    ("POST", "/v1/projects", {"name": "x", "owner": "y"}, "body.owner", "extra_forbidden"),
    ("POST", "/v1/projects/{project}/repositories", {"url": "https://u:p@example.com/r"}, "body.url", "url_credentials"),
    ("POST", "/v1/projects/{project}/repositories", {"url": "http://example.com/r"}, "body.url", "url_scheme"),
    (
        "POST",
        "/v1/projects/{project}/repositories",
        {"url": "https://a/b", "default_base_ref": "-x"},
        "body.default_base_ref",
        "ref_format",
    ),
    ("POST", "/v1/credentials", {"purpose": "git_token", "value": "planted secret"}, "body.value", "credential_value"),
    ("POST", "/v1/credentials", {"purpose": "model_key", "value": "planted-secret"}, "body.vendor", "unknown_vendor"),
    ("POST", "/v1/credentials", {"purpose": "root", "value": "planted-secret"}, "body.purpose", "enum"),
    ("POST", "/v1/tasks", {"agent": "shell", "prompt": "a\u0000b"}, "body.prompt", "no_nul"),
    ("POST", "/v1/tasks", {"agent": "shell", "prompt": "é" * 50_001}, "body.prompt", "prompt_too_long"),
    ("POST", "/v1/tasks", {"agent": "emacs", "prompt": "x"}, "body.agent", "unknown_agent"),
    ("POST", "/v1/tasks", {"agent": "shell", "prompt": "x", "limits": {"memory_mib": 200_000}}, "body.limits.memory_mib", "over_ceiling"),
    ("POST", "/v1/tasks", {"agent": "claude-code", "prompt": "x"}, "body.credential_ids", "model_key_missing"),
    ("POST", "/v1/tasks", {"agent": "shell", "prompt": "x", "limits": {"pids": 0}}, "body.limits.pids", "greater_than_equal"),
    ("GET", "/v1/tasks?limit=0", {}, "query.limit", "greater_than_equal"),
    ("GET", "/v1/tasks?cursor=x", {}, "query.cursor", "cursor"),
    ("GET", "/v1/tasks?state=lost", {}, "query.state", "enum"),
    ("GET", "/v1/tasks/x", {}, "path.task_id", "string_pattern_mismatch"),
]


async def test_what_breaks_a_rule_is_told_which(gateway: Gateway, somebody: Person) -> None:
    project = await somebody.project()
    for method, path, body, field, rule in INVALID:
        whole = {"project_id": project} | body if path == "/v1/tasks" else body
        answer = await somebody.http.request(method, path.replace("{project}", project), json=whole if method == "POST" else None)
        is_problem(answer, 422, "invalid")
        assert [(fault["field"], fault["rule"]) for fault in answer.json()["errors"]] == [(field, rule)]
        assert "planted" not in answer.text
    assert "planted" not in gateway.log_file.read_text()


async def test_the_edges_own_refusals(somebody: Person) -> None:
    is_problem(await somebody.http.get("/v1/nothing"), 404, "not-found")
    refused = await somebody.http.delete("/v1/me")
    is_problem(refused, 405, "method-not-allowed")
    assert refused.headers["allow"] == "GET"
    is_problem(
        await somebody.http.post("/v1/projects", content=b"a" * 1_048_577, headers={"content-type": "application/json"}),
        413,
        "body-too-large",
    )

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 65_536

    is_problem(
        await somebody.http.post("/v1/projects", content=endless(), headers={"content-type": "application/json"}), 413, "body-too-large"
    )
    for media in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        is_problem(
            await somebody.http.post("/v1/projects", content=b'{"name":"x"}', headers={"content-type": media}),
            415,
            "unsupported-media-type",
        )
    for content in (b"{", b"", b"[1]", b"\xff", b"[" * 100_000):
        answer = await somebody.http.post("/v1/projects", content=content, headers={"content-type": "application/json"})
        is_problem(answer, 422, "invalid")
        assert answer.json()["errors"][0]["field"] == "body"
    answer = await somebody.http.post("/v1/tasks", content=b'{"prompt": "\\ud800"}', headers={"content-type": "application/json"})
    assert ("body.prompt", "string_unicode") in [(fault["field"], fault["rule"]) for fault in answer.json()["errors"]]


async def test_a_request_sent_twice_is_carried_out_once(gateway: Gateway, somebody: Person, another: Person) -> None:
    body = {"project_id": await somebody.project(), "agent": "shell", "prompt": "once"}
    answers = await asyncio.gather(*(somebody.http.post("/v1/tasks", json=body, headers={"idempotency-key": "k"}) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({json.dumps(answer.json(), sort_keys=True) for answer in answers}) == 1
    assert len((await somebody.get("/v1/tasks"))["items"]) == 1
    other = await somebody.http.post("/v1/tasks", json=body | {"prompt": "other"}, headers={"idempotency-key": "k"})
    is_problem(other, 422, "idempotency-key-reused")
    is_problem(await somebody.http.post("/v1/tasks", json=body, headers={"idempotency-key": "a b"}), 422, "invalid")
    # A refused request does not use its key up, and a key is its owner's.
    is_problem(await somebody.http.post("/v1/tasks", json=body | {"agent": "emacs"}, headers={"idempotency-key": "k2"}), 422, "invalid")
    assert (await somebody.http.post("/v1/tasks", json=body, headers={"idempotency-key": "k2"})).status_code == 201
    theirs = {"project_id": await another.project(), "agent": "shell", "prompt": "once"}
    assert (await another.http.post("/v1/tasks", json=theirs, headers={"idempotency-key": "k"})).status_code == 201
    async with gateway.service("scheduler") as scheduler:
        async with asyncio.timeout(10):
            while len(sent := await scheduler.bus.read("CMD", "cmd.scheduler.submit.>", 0)) < 3:
                pass
        assert len(sent) == 3


async def test_while_a_part_is_away_it_is_said_so(gateway: Gateway, somebody: Person) -> None:
    is_problem(await somebody.http.get("/v1/audit"), 503, "unavailable")
    is_problem(await somebody.http.get("/v1/audit/checkpoint"), 503, "unavailable")
    task = await somebody.task()
    await gateway.nats.kill()
    assert (await somebody.get(f"/v1/tasks/{task.id}"))["state"] == "submitted"
    assert (await somebody.post(f"/v1/tasks/{task.id}/cancel"))["id"] == task.id
    is_problem(await somebody.http.get(f"/v1/tasks/{task.id}/messages"), 503, "unavailable")
    await gateway.nats.restart()
    gateway.database.server.kill()
    try:
        answer = await somebody.http.get(f"/v1/tasks/{task.id}")
        is_problem(answer, 503, "unavailable")
        assert answer.headers["retry-after"]
    finally:
        gateway.database.server.start()
    async with asyncio.timeout(30):
        while (await somebody.http.get(f"/v1/tasks/{task.id}")).status_code == 503:
            pass
    assert (await somebody.get(f"/v1/tasks/{task.id}"))["id"] == task.id


@pytest.mark.parametrize("path", ["/v1/openapi.json"])
async def test_the_openapi_document_is_true_about_errors(somebody: Person, path: str) -> None:
    document = await somebody.get(path)
    assert "HTTPValidationError" not in document["components"]["schemas"]
    for route, methods in document["paths"].items():
        for method, operation in methods.items():
            assert ("security" in operation) == (route not in PUBLIC), (route, method)
            schemes = {name: scopes for one in operation.get("security", []) for name, scopes in one.items()}
            need = TABLE[method.upper(), route]
            assert ("api_token" in schemes) == (need not in {Who.ANYONE, Who.PERSON}), (route, method)
            assert schemes.get("api_token", []) == ([need] if isinstance(need, TokenScope) else []), (route, method)
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    assert list(answer["content"]) == ["application/problem+json"], (route, method, status)
    assert "text/event-stream" in document["paths"]["/v1/tasks/{task_id}/events"]["get"]["responses"]["200"]["content"]
