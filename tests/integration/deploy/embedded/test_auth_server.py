"""The auth server as its clients see it: unmodified supabase-py, and plain HTTP for what a client library hides."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from deploy.embedded.auth import throttle
from deploy.embedded.auth.app import idle_sessions
from deploy.embedded.auth.settings import AuthSettings
from deploy.embedded.auth.store import Users
from shared.store import Database, Pruning
from supabase import AsyncClient, AuthApiError, AuthWeakPasswordError, create_async_client
from tests.integration.deploy.embedded.auth_server import FIRST_EMAIL, FIRST_PASSWORD, AuthServer, auth_server
from tests.servers.postgres import PostgresDatabase, PostgresServer, in_own_loop

PASSWORD = "correct horse battery"
NEW_ERRORS = {"X-Supabase-Api-Version": "2024-01-01"}


@pytest.fixture(scope="module")
def auth_database(postgres: PostgresServer) -> PostgresDatabase:
    in_own_loop(lambda: postgres.execute("create database auth_server"))
    return PostgresDatabase(postgres, "auth_server")


@pytest.fixture(scope="module")
def server(auth_database: PostgresDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuthServer]:
    """One for all tests of this file: each brings an account of its own."""
    with auth_server(auth_database, tmp_path_factory.mktemp("auth")) as running:
        yield running


@pytest.fixture
def email() -> str:
    return f"{uuid.uuid4()}@example.com"


@pytest.fixture
async def http(server: AuthServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{server.url}/auth/v1") as client:
        yield client


@asynccontextmanager
async def supabase(server: AuthServer) -> AsyncGenerator[AsyncClient]:
    client = await create_async_client(server.url, "any-publishable-key")
    yield client
    await client.auth.close()


def credentials(email: str) -> Any:
    return {"email": email, "password": PASSWORD}


async def refresh(http: httpx.AsyncClient, token: str) -> httpx.Response:
    return await http.post("/token", params={"grant_type": "refresh_token"}, json={"refresh_token": token})


async def sign_up(http: httpx.AsyncClient, email: str) -> dict[str, Any]:
    return (await http.post("/signup", json={"email": email, "password": PASSWORD})).json()


async def test_supabase_py_signs_up_in_refreshes_changes_and_signs_out(server: AuthServer, email: str) -> None:
    async with supabase(server) as client, supabase(server) as other:
        signed_up = await client.auth.sign_up({"email": email, "password": PASSWORD, "options": {"data": {"name": "Someone"}}})
        assert signed_up.user is not None
        assert signed_up.user.user_metadata == {"name": "Someone"}
        assert signed_up.session is not None

        signed_in = await other.auth.sign_in_with_password(credentials(email))
        assert signed_in.session is not None
        assert signed_in.user is not None
        assert signed_in.user.id == signed_up.user.id

        refreshed = await other.auth.refresh_session()
        assert refreshed.session is not None
        assert refreshed.session.refresh_token != signed_in.session.refresh_token

        changed = await other.auth.update_user({"data": {"team": "blue"}, "password": "another long password"})
        assert changed.user.user_metadata == {"name": "Someone", "team": "blue"}
        with pytest.raises(AuthApiError):  # its session ended with the old password
            await client.auth.get_user()

        shown = await other.auth.get_user()
        assert shown is not None
        assert shown.user.email == email
        await other.auth.sign_out()
        assert await other.auth.get_session() is None


async def test_the_generated_first_user_signs_in_and_is_not_made_twice(server: AuthServer, auth_database: PostgresDatabase) -> None:
    async with supabase(server) as client:
        signed_in = await client.auth.sign_in_with_password({"email": FIRST_EMAIL.upper(), "password": FIRST_PASSWORD})
    assert signed_in.user is not None
    connection = await auth_database.connect()
    try:
        assert not await Users.create_first(connection, "second@example.com", PASSWORD)
        stored = await connection.fetchval("select password_hash from embedded_auth.users where email = $1", FIRST_EMAIL)
        assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    finally:
        await connection.close()


async def test_the_published_key_verifies_the_token_and_its_claims(http: httpx.AsyncClient, server: AuthServer, email: str) -> None:
    answer = await sign_up(http, email)
    published = await http.get("/.well-known/jwks.json")
    assert published.headers["cache-control"] == "public, max-age=600"
    assert [set(key) for key in published.json()["keys"]] == [{"kty", "crv", "x", "y", "use", "alg", "kid", "key_ops"}]
    token = jwt.decode(answer["access_token"], KeySet.import_key_set(published.json()), algorithms=["ES256"])
    assert token.header == {"alg": "ES256", "kid": published.json()["keys"][0]["kid"], "typ": "JWT"}
    claims = token.claims
    assert claims["iss"] == f"{server.url}/auth/v1"
    assert claims["aud"] == claims["role"] == "authenticated"
    assert claims["sub"] == answer["user"]["id"]
    assert claims["exp"] - claims["iat"] == answer["expires_in"]
    assert claims["exp"] == answer["expires_at"]
    assert [method["method"] for method in claims["amr"]] == ["password"]
    assert {"session_id", "aal", "email", "phone", "app_metadata", "user_metadata", "is_anonymous"} <= set(claims)


async def test_a_parent_may_come_back_once_and_gets_the_current_token(http: httpx.AsyncClient, email: str) -> None:
    first = (await sign_up(http, email))["refresh_token"]
    second = (await refresh(http, first)).json()["refresh_token"]
    again = await refresh(http, first)
    assert again.status_code == 200
    assert again.json()["refresh_token"] == second
    assert (await refresh(http, second)).status_code == 200


async def test_any_other_reuse_ends_the_session_for_both_parties(http: httpx.AsyncClient, email: str) -> None:
    answer = await sign_up(http, email)
    second = (await refresh(http, answer["refresh_token"])).json()["refresh_token"]
    third = (await refresh(http, second)).json()
    stolen = await refresh(http, answer["refresh_token"])
    assert stolen.status_code == 400
    assert stolen.headers["x-sb-error-code"] == "refresh_token_already_used"
    assert (await refresh(http, third["refresh_token"])).json()["error_code"] == "refresh_token_not_found"
    with_token = await http.get("/user", headers={"Authorization": f"Bearer {third['access_token']}"})
    assert (with_token.status_code, with_token.json()["error_code"]) == (403, "session_not_found")


async def test_the_parent_a_second_time_is_a_reuse(http: httpx.AsyncClient, email: str) -> None:
    first = (await sign_up(http, email))["refresh_token"]
    answers = [(await refresh(http, first)).status_code for _ in range(3)]
    assert answers == [200, 200, 400]


async def test_refreshes_side_by_side_do_not_fork_the_session(http: httpx.AsyncClient, email: str) -> None:
    first = (await sign_up(http, email))["refresh_token"]
    answers = await asyncio.gather(refresh(http, first), refresh(http, first))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1


@pytest.mark.parametrize(("scope", "mine", "others"), [("global", 403, 403), ("local", 403, 200), ("others", 200, 403)])
async def test_sign_out_by_scope(http: httpx.AsyncClient, scope: str, mine: int, others: int, email: str) -> None:
    first = await sign_up(http, email)
    second = (await http.post("/token", params={"grant_type": "password"}, json=credentials(email))).json()
    header = {"Authorization": f"Bearer {first['access_token']}"}
    ended = await http.post("/logout", params={"scope": scope}, headers=header)
    assert (ended.status_code, ended.content) == (204, b"")
    assert (await http.get("/user", headers=header)).status_code == mine
    assert (await http.get("/user", headers={"Authorization": f"Bearer {second['access_token']}"})).status_code == others


async def test_errors_have_the_old_and_the_new_shape(http: httpx.AsyncClient, email: str) -> None:
    old = await http.post("/token", params={"grant_type": "password"}, json=credentials(email))
    assert old.status_code == 400
    assert old.json() == {"code": 400, "error_code": "invalid_credentials", "msg": "Invalid login credentials"}
    new = await http.post("/token", params={"grant_type": "password"}, json=credentials(email), headers=NEW_ERRORS)
    assert new.json() == {"code": "invalid_credentials", "message": "Invalid login credentials"}
    assert new.headers["x-supabase-api-version"] == "2024-01-01"
    assert old.headers["x-sb-error-code"] == new.headers["x-sb-error-code"] == "invalid_credentials"


async def test_refusals_have_their_codes(http: httpx.AsyncClient, email: str) -> None:
    await sign_up(http, email)

    async def code(method: str, path: str, **given: Any) -> tuple[int, str]:
        response = await http.request(method, path, **given)
        return response.status_code, response.json()["error_code"]

    assert await code("POST", "/signup", json={"email": email.title(), "password": PASSWORD}) == (422, "user_already_exists")
    assert await code("POST", "/signup", json={"email": "a@example.com", "password": "short"}) == (422, "weak_password")
    assert await code("POST", "/signup", json={"email": "nobody", "password": PASSWORD}) == (400, "validation_failed")
    assert await code("POST", "/signup", content=b"{") == (400, "bad_json")
    assert await code("POST", "/signup", content=b" " * 100_000) == (400, "bad_json")
    assert await code("POST", "/token", params={"grant_type": "magic"}, json={}) == (400, "validation_failed")
    assert await code("GET", "/user") == (401, "no_authorization")
    assert await code("GET", "/user", headers={"Authorization": "Bearer a.b.c"}) == (403, "bad_jwt")
    assert await code("POST", "/logout", params={"scope": "everything"}) in {(401, "no_authorization"), (400, "validation_failed")}


async def test_supabase_py_understands_a_weak_password(server: AuthServer) -> None:
    async with supabase(server) as client:
        with pytest.raises(AuthWeakPasswordError) as refused:
            await client.auth.sign_up({"email": "a@example.com", "password": "short"})
    assert refused.value.reasons == ["length"]


async def test_sign_up_is_closed_unless_it_was_opened(auth_database: PostgresDatabase, tmp_path: Path, email: str) -> None:
    closed = auth_server(auth_database, tmp_path, AUTH_SIGNUP_ENABLED="false")
    with closed as server:
        async with httpx.AsyncClient(base_url=server.url) as http:
            refused = await http.post("/auth/v1/signup", json=credentials(email))
            assert (refused.status_code, refused.json()["error_code"]) == (422, "signup_disabled")
            assert (await http.get("/auth/v1/settings")).json()["disable_signup"] is True


async def test_guessing_is_slowed_down_even_when_the_guess_is_right(http: httpx.AsyncClient, email: str) -> None:
    await sign_up(http, email)
    wrong = {"email": email, "password": "wrong password wrong"}
    attempts = [http.post("/token", params={"grant_type": "password"}, json=wrong) for _ in range(throttle.PER_ACCOUNT)]
    assert {answer.status_code for answer in await asyncio.gather(*attempts)} == {400}
    right = await http.post("/token", params={"grant_type": "password"}, json=credentials(email))
    assert (right.status_code, right.json()["error_code"]) == (429, "over_request_rate_limit")
    assert 0 < int(right.headers["retry-after"]) <= throttle.WINDOW_SECONDS


async def test_the_database_holds_nothing_to_sign_in_with(http: httpx.AsyncClient, auth_database: PostgresDatabase, email: str) -> None:
    answer = await sign_up(http, email)
    connection = await auth_database.connect()
    try:
        users = await connection.fetch("select * from embedded_auth.users")
        sessions = await connection.fetch("select * from embedded_auth.sessions")
    finally:
        await connection.close()
    stored = str([tuple(row.values()) for row in (*users, *sessions)])
    assert all(secret not in stored for secret in (PASSWORD, answer["refresh_token"], answer["access_token"]))


@pytest.mark.parametrize(
    "data", ['{"a": "\\u0000"}', '{"\\u0000": 1}', '{"a": 1e999}', '{"a": "' + "x" * 5_000 + '"}', '{"a":' * 200 + "1" + "}" * 200]
)
async def test_metadata_that_cannot_be_kept_is_refused_by_name(http: httpx.AsyncClient, email: str, data: str) -> None:
    refused = await http.post("/signup", content=f'{{"email": "{email}", "password": "{PASSWORD}", "data": {data}}}')
    assert (refused.status_code, refused.json()["error_code"] in {"validation_failed", "bad_json"}) == (400, True)


async def test_metadata_does_not_grow_until_tokens_are_too_long(http: httpx.AsyncClient, email: str) -> None:
    token = (await sign_up(http, email))["access_token"]
    statuses = [
        (await http.put("/user", headers={"authorization": f"Bearer {token}"}, json={"data": {f"k{number}": "x" * 1_500}})).status_code
        for number in range(4)
    ]
    assert statuses == [200, 200, 400, 400]


async def test_sessions_that_nobody_can_refresh_any_more_go(server: AuthServer, email: str) -> None:
    admin, store = await server.database.connect(), await Database.open(server.database.settings("auth"))
    user = await admin.fetchval("insert into embedded_auth.users (email, password_hash) values ($1, 'x') returning id", email)
    for days in (29, 31):
        await admin.execute(
            "insert into embedded_auth.sessions (user_id, refreshed_at) values ($1, now() - make_interval(days => $2))", user, days
        )
    settings = AuthSettings(port=0, issuer="x", signing_key_file=Path("x"), refresh_key_file=Path("x"))
    assert await Pruning(store, "embedded_auth", [idle_sessions(settings)]).once() == {"embedded_auth.sessions": 1}
    assert await admin.fetchval("select count(*) from embedded_auth.sessions where user_id = $1", user) == 1
    await store.close()
    await admin.close()
