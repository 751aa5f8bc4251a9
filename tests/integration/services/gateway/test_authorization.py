"""Every route of the table, asked by everyone who could ask: what the gateway answers is what the row says."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from deploy.embedded.auth import keys
from services.gateway.access import TABLE, Need, Who
from services.gateway.api_tokens import form
from shared.events.ids import fresh
from shared.events.values import TokenScope
from tests.unit.services.gateway.test_tokens import unsigned

from .stack import Gateway, Person
from .test_api_tokens import sql
from .test_edge import BODIES, filled

Answer = tuple[int, str]
UNAUTHENTICATED: Answer = (401, "unauthenticated")
GOOD: Answer = (0, "")
"""Past the edge: whatever the route itself says then."""


@dataclass
class Asker:
    """Somebody with a token, or something like one."""

    name: str
    token: str | None
    refused: Answer | None = None
    """What each route but the public ones answers; None: it depends on the row."""
    scope: TokenScope | None = None
    """All that an API token has; None: a person."""
    ids: dict[str, str] = field(default_factory=dict[str, str])
    is_stranger: bool = False

    def expected(self, need: Need, path: str) -> Answer:
        """By the row, not by the code that reads it."""
        if need is Who.ANYONE:
            return (200, "")
        if self.refused is not None:
            return self.refused
        if self.scope is not None and need is Who.PERSON:
            return (403, "person-needed")
        if self.scope is not None and need is not Who.CALLER and need != self.scope:
            return (403, "insufficient-scope")
        return (404, "not-found") if self.is_stranger and "{" in path else GOOD


def broken_json_web_tokens(gateway: Gateway, somebody: Person) -> list[Asker]:
    """Each with one fault, and otherwise somebody's."""
    key = keys.load(gateway.directory / "signing-key.json")
    now = datetime.now(UTC).timestamp()
    good: dict[str, Any] = {"iss": f"{gateway.auth.url}/auth/v1", "aud": "authenticated", "exp": now + 600, "iat": now}
    good |= {"sub": somebody.id, "role": "authenticated", "session_id": fresh()}

    def signed(header: dict[str, Any] | None = None, signer: Any = key, **changes: Any) -> str:
        whole = {"alg": "ES256", "kid": key.kid} | (header or {})
        return jwt.encode({name: value for name, value in whole.items() if value}, good | changes, signer, algorithms=["ES256", "HS256"])

    public = OctKey.import_key(json.dumps(key.as_dict(private=False)))
    head, body, signature = signed().split(".")
    tokens = {
        "expired": signed(exp=now - 60),
        "wrong issuer": signed(iss="https://evil.example/auth/v1"),
        "wrong audience": signed(aud="anon"),
        "alg none": unsigned({"alg": "none", "kid": key.kid}, good),
        "HS256 signed with the public key": signed({"alg": "HS256"}, public),
        "missing kid": signed({"kid": None}),
        "unknown kid": signed({"kid": "made-up"}),
        "another's key": signed(None, ECKey.generate_key("P-256", {"kid": str(key.kid)})),
        "service role": signed(role="service_role"),
        "without a signature": f"{head}.{body}.",
        "of an API token's begin": f"acp_{head}.{body}.{signature}",
    }
    malformed = (401, "token-malformed")
    return [Asker(name, token, malformed if token.startswith("acp_") else UNAUTHENTICATED) for name, token in tokens.items()]


async def broken_api_tokens(gateway: Gateway, somebody: Person) -> list[Asker]:
    """Each with every scope, and opening nothing."""
    body = {"name": "n", "scopes": list(TokenScope)}
    expired, revoked = await somebody.post("/v1/tokens", body), await somebody.post("/v1/tokens", body)
    await sql(gateway, "update gateway.api_tokens set expires_at = now() where id = $1", expired["id"])
    await somebody.http.delete(f"/v1/tokens/{revoked['id']}")
    return [
        Asker("expired API token", expired["token"], (401, "token-expired")),
        Asker("revoked API token", revoked["token"], (401, "token-unknown")),
        Asker("API token that never was", form.fresh(), (401, "token-unknown")),
        Asker("malformed API token", revoked["token"][:-1], (401, "token-malformed")),
    ]


async def everyone(gateway: Gateway, somebody: Person, another: Person) -> list[Asker]:
    """Those who may do nothing first: what they ask for must still be there for the others."""
    own = await somebody.project("https://example.com/team/one.git")
    stored = await somebody.post("/v1/credentials", {"purpose": "git_token", "value": "planted-git-token", "host": "example.com"})
    environment = "/v1/projects/{project_id}/environment"
    (await somebody.http.put(filled(environment, project_id=own), json=BODIES[environment])).raise_for_status()
    spare = await somebody.post("/v1/tokens", {"name": "spare", "scopes": ["tasks:read"]})
    ids = {"project_id": own, "task_id": (await somebody.task(own)).id, "credential_id": stored["id"], "token_id": spare["id"]}
    askers = [Asker("anonymous", None, UNAUTHENTICATED), Asker("another scheme", "Basic c29tZWJvZHk6cGFzc3dvcmQ=", UNAUTHENTICATED)]
    askers += broken_json_web_tokens(gateway, somebody) + await broken_api_tokens(gateway, somebody)
    askers.append(Asker("another", another.token, is_stranger=True))
    for scope in TokenScope:
        other = await another.post("/v1/tokens", {"name": "n", "scopes": [scope]})
        askers.append(Asker(f"another's {scope}", other["token"], scope=scope, is_stranger=True))
    for scope in TokenScope:
        made = await somebody.post("/v1/tokens", {"name": "n", "scopes": [scope]})
        askers.append(Asker(scope, made["token"], scope=scope))
    askers.append(Asker("owner", somebody.token))
    for asker in askers:
        asker.ids = ids
    return askers


async def answered(http: httpx.AsyncClient, asker: Asker, method: str, path: str) -> Answer:
    """The status, and the problem's name; of a stream only its beginning."""
    headers = {} if asker.token is None else {"authorization": asker.token if " " in asker.token else f"Bearer {asker.token}"}
    body = None if method in {"GET", "DELETE"} else BODIES.get(path, {})
    async with http.stream(method, filled(path, **asker.ids), headers=headers, json=body) as answer:
        if answer.status_code < 400:
            return (answer.status_code, "")
        return (answer.status_code, json.loads(await answer.aread())["type"].rpartition(":")[2])


ORDER = ("PUT", "POST", "PATCH", "GET", "DELETE")


@pytest.mark.timeout(900)  # more than a thousand requests
async def test_every_route_answers_everyone_as_its_row_says(gateway: Gateway, somebody: Person, another: Person) -> None:
    wrong: list[str] = []
    asked = 0
    async with httpx.AsyncClient(base_url=gateway.url, timeout=30, trust_env=False) as http:
        for asker in await everyone(gateway, somebody, another):
            # What makes something anew goes first and what deletes goes last: each then has something to read and to delete.
            for (method, path), need in sorted(TABLE.items(), key=lambda row: ORDER.index(row[0][0])):
                expected = asker.expected(need, path)
                answer = await answered(http, asker, method, path)
                asked += 1
                past = answer[0] not in {401, 403, 405, 500} and (answer[0] != 404 or answer[1] == "not-yet")
                is_right = past if expected == GOOD else answer == expected
                # The credential is gone when the second of those who may delete it comes.
                gone = expected == GOOD and method == "DELETE" and asker.name == "owner" and answer == (404, "not-found")
                if not (is_right or gone):
                    wrong.append(f"{asker.name}: {method} {path}: {answer}, expected {expected}")
    assert wrong == []
    assert asked == len(TABLE) * 31
