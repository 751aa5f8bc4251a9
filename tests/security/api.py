"""The stack's API as a stranger with a valid account sees it: the described routes, and raw requests to them."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote

import httpx

from tests.servers.stack import Stack

Json = dict[str, Any]


@dataclass(frozen=True)
class Route:
    """One operation of the OpenAPI document."""

    method: str
    path: str
    query: tuple[str, ...]
    body: tuple[str, ...]
    """The names of its body's fields."""

    def at(self, ids: dict[str, str]) -> str:
        """The path with these ids in it."""
        path = self.path
        for name, value in ids.items():
            path = path.replace(f"{{{name}}}", quote(value.encode("utf-8", "surrogatepass"), safe=""))
        return path


def routes(client: httpx.Client) -> list[Route]:
    """Every operation there is."""
    document: Json = client.get("/v1/openapi.json").json()
    return list(_routes(document))


def _routes(document: Json) -> Iterator[Route]:
    for path, operations in cast("dict[str, Json]", document["paths"]).items():
        for method, operation in operations.items():
            parameters: list[Json] = operation.get("parameters", [])
            schema: Json = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            forms: list[Json] = [schema, *schema.get("anyOf", [])]  # a body that may be left out is one of two
            reference = next((form["$ref"] for form in forms if "$ref" in form), "")
            fields: Json = document["components"]["schemas"].get(reference.rpartition("/")[2], {}).get("properties", {})
            yield Route(method.upper(), path, tuple(one["name"] for one in parameters if one["in"] == "query"), tuple(fields))


def stranger(stack: Stack) -> httpx.Client:
    """Somebody who just signed up, below the problem-turning client of the command line."""
    auth = f"http://127.0.0.1:{stack.config['ports']['auth']}/auth/v1"
    account = {"email": f"stranger-{time.time_ns()}@example.org", "password": "a long enough passphrase"}
    session: Json = httpx.post(f"{auth}/signup", json=account, timeout=30).raise_for_status().json()
    return httpx.Client(base_url=stack.url, headers={"authorization": f"Bearer {session['access_token']}"}, timeout=30)
