"""Odd values in every described field, parameter and path: each is an answer, never a 500, and never a word of ours about our insides."""

import json
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.security.api import Json, Route, routes, stranger
from tests.servers.stack import Stack

TEXTS = ["", "\x00", "a\x00b", "\ud800", "\u202e", "\r\nX-Injected: 1", "../../etc/passwd", "--upload-pack=x", "' or 1=1--", "a" * 5_000]
VALUES: list[Any] = [*TEXTS, 0, -1, 2**31, 2**63, 10**400, 1.5, float("nan"), float("inf"), True, None, [], {}, [[]], ["a"] * 1_000]
BODIES = [
    b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"a":' * 50_000, b"\xef\xbb\xbf{}", b'{"name":"a","name":"b"}',
    "{}".encode("utf-16"), b'{"name":' + b"9" * 10_000 + b"}", b'{"prompt":"\\ud800"}', b"x" * 2_000_000,
]  # fmt: skip


@pytest.fixture
def good(stack: Stack) -> Iterator[tuple[httpx.Client, dict[str, Json]]]:
    """A stranger, and for each path that takes a body one that is nearly right: nothing is started by it."""
    with stranger(stack) as client:
        project = client.post("/v1/projects", json={"name": "mine"}).json()["id"]
        repository = {"url": "https://example.org/x.git", "default_base_ref": "main"}
        client.post(f"/v1/projects/{project}/repositories", json=repository).raise_for_status()
        task = {"project_id": project, "prompt": "true", "agent": "no-such-agent", "title": "t", "limits": {"wall_seconds": 5}}
        credential = {"purpose": "git_token", "host": "example.org", "value": "abcdefgh", "label": "l", "project_id": project}
        yield (
            client,
            {
                "/v1/projects": {"name": "n", "publish_policy": "auto", "protected_paths": ["x"]},
                "/v1/projects/{project_id}/repositories": repository,
                "/v1/credentials": credential,
                "/v1/tokens": {"name": "n", "scopes": ["tasks:read"], "expires_in_seconds": 60},
                "/v1/tasks": task,
                "/v1/tasks/{task_id}/approve": {"tree_sha": "0" * 40},
                "/v1/tasks/{task_id}/publish": {"tree_sha": "0" * 40, "credential_id": str(uuid.uuid4())},
            },
        )


def _requests(route: Route, body: Json | None) -> Iterator[tuple[str, bytes | None]]:
    """Paths and bodies to send."""
    ids = {name: str(uuid.uuid4()) for name in ("project_id", "task_id", "credential_id", "token_id")}
    if "{" in route.path:
        yield from ((route.at(dict.fromkeys(ids, text)), None) for text in TEXTS if text)
    for name in route.query:
        yield from ((f"{route.at(ids)}?{name}={quote(text.encode('utf-8', 'surrogatepass'))}", None) for text in [*TEXTS, "-1", "1e9"])
    if body is not None:
        yield from ((route.at(ids), raw) for raw in BODIES)
        for field in route.body:
            for value in VALUES:
                yield from ((route.at(ids), json.dumps(body | {field: wrong}).encode()) for wrong in (value, [value], {"x": value}))


def test_no_request_is_an_error_of_ours(good: tuple[httpx.Client, dict[str, Json]]) -> None:
    client, bodies = good
    sent, wrong = 0, list[str]()
    for route in routes(client):
        for path, content in _requests(route, bodies.get(route.path) if route.method == "POST" else None):
            answer = client.request(route.method, path, content=content, headers={"content-type": "application/json"})
            sent += 1
            kind = answer.headers.get("content-type")
            if answer.status_code >= 500 or "Traceback" in answer.text or (answer.is_client_error and kind != "application/problem+json"):
                wrong.append(f"{route.method} {path[:80]} {content and content[:80]!r}: {answer.status_code} {answer.text[:200]}")
            assert "x-injected" not in answer.headers
    assert wrong == []
    assert sent > 500
