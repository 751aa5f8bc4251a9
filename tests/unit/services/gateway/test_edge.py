"""The edge with an application of its own inside: what it lets in, and what of a failure comes out."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from starlette.exceptions import HTTPException

from services.gateway import problems
from services.gateway.access import Need
from services.gateway.api_tokens.grants import Grant
from services.gateway.edge import BodyLimits, Edge
from services.gateway.errors import Expired, GatewayError, Unauthenticated, Unavailable
from services.gateway.tokens import Caller
from shared.blobs.errors import BlobCorrupt, BlobMissing, BlobTooLarge
from shared.bus.errors import NoAnswer, ReadFailed, Refused
from shared.events.ids import OwnerId, TokenId, fresh
from shared.events.values import TokenScope
from shared.store.errors import OutboxFull, StoreConflict, StoreUnavailable

CALLER = Caller(OwnerId(fresh()), fresh(), "authenticated", None, datetime.now(UTC) + timedelta(hours=1))


MACHINE = replace(
    CALLER, session_id=None, api_token=Grant(TokenId(fresh()), CALLER.owner, frozenset(TokenScope), datetime.now(UTC) + timedelta(hours=1))
)


async def authenticate(authorization: str | None, _need: Need | None) -> Caller:
    callers = {"Bearer good": CALLER, "Bearer machine": MACHINE}
    if authorization not in callers:
        raise Unauthenticated
    return callers[authorization]


def inside() -> FastAPI:
    app = FastAPI()

    @app.post("/broken")
    async def broken() -> None:
        raise ZeroDivisionError("planted text of an exception")

    @app.post("/fine")
    async def fine() -> dict[str, str]:
        return {}

    assert callable(broken)
    assert callable(fine)
    return app


def edge(timeout_seconds: float = 5) -> FastAPI:
    app = inside()
    app.add_middleware(Edge, authenticate=authenticate, limits=BodyLimits(max_bytes=100, timeout_seconds=timeout_seconds))
    return app


def client(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://edge", headers={"authorization": "Bearer good"})


async def test_a_failure_nobody_expected_is_told_without_its_text() -> None:
    async with client(edge()) as http:
        answer = await http.post("/broken", json={})
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:async-code:problem:internal")
    assert "planted" not in answer.text
    assert "Zero" not in answer.text


async def test_what_no_row_of_the_table_allows_is_closed_to_every_api_token() -> None:
    """Although there is such a route, and the token has every scope."""
    async with client(edge()) as http:
        assert (await http.post("/fine")).status_code == 200
        answer = await http.post("/fine", headers={"authorization": "Bearer machine"})
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:async-code:problem:not-found")
        answer = await http.delete("/v1/tasks", headers={"authorization": "Bearer machine"})
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")


async def test_a_strangers_body_is_not_even_read() -> None:
    async def never() -> AsyncIterator[bytes]:
        yield b""
        raise AssertionError

    async with client(edge()) as http:
        answer = await http.post("/fine", content=never(), headers={"authorization": "Bearer bad"})
    assert answer.status_code == 401


async def test_a_body_that_does_not_arrive_is_given_up() -> None:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return await asyncio.get_running_loop().create_future()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/fine", "headers": [(b"authorization", b"Bearer good")], "query_string": b""}
    await edge(timeout_seconds=0.01)(scope, receive, send)
    assert sent[0]["status"] == 422


async def test_a_body_at_the_limit_is_taken_and_one_over_it_is_not() -> None:
    async with client(edge()) as http:
        for size, status in ((100, 200), (101, 413)):
            content = b'"' + b"a" * (size - 2) + b'"'
            answer = await http.post("/fine", content=content, headers={"content-type": "application/json; charset=utf-8"})
            assert answer.status_code == status


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (BlobMissing(), 410),
        (BlobCorrupt(), 500),
        (BlobTooLarge(), 500),
        (NoAnswer(), 503),
        (ReadFailed(), 503),
        (StoreUnavailable(), 503),
        (StoreConflict(), 503),
        (OutboxFull(), 503),
        (Refused("not_found"), 404),
        (Refused("invalid"), 500),
        (Unavailable(), 503),
        (asyncpg.UniqueViolationError(), 500),
        (HTTPException(404), 404),
        (HTTPException(405, headers={"allow": "GET"}), 405),
        (HTTPException(400), 422),
        (HTTPException(418), 422),
        (HTTPException(599), 500),
        (KeyError("planted"), 500),
    ],
)
def test_every_failure_has_its_status(failure: Exception, status: int) -> None:
    known = problems.of_failure(failure)
    assert known.status == status
    assert "planted" not in problems.document(known, path="/", request_id="r").model_dump_json()


def test_every_error_has_a_name_and_advice_of_its_own() -> None:
    kinds = [GatewayError, *GatewayError.__subclasses__(), *Unauthenticated.__subclasses__()]
    assert len({kind.slug for kind in kinds}) == len(kinds)
    for kind in (*kinds, Expired):
        assert kind.advice
        assert kind.__doc__
        assert kind().detail == kind.__doc__
