"""Ids of somebody else's things, at every route and in every body: the answer is that of an id that nobody has."""

import uuid

import pytest

from tests.security.api import Json, routes, stranger
from tests.servers.stack import GIT_TOKEN, Person, Stack

IDS = ("project_id", "task_id", "credential_id", "token_id")


@pytest.fixture
def theirs(person: Person, project: str) -> dict[str, str]:
    """A project, a task in it and a credential, each with the name it has in paths."""
    task = person.until(person.task(project, "echo x > x"))
    credential = person.client.post("/v1/credentials", {"purpose": "git_token", "host": "example.org", "value": GIT_TOKEN})
    repository = person.client.get(f"/v1/projects/{project}/repositories")["items"][0]
    token = person.client.post("/v1/tokens", {"name": "n", "scopes": ["tasks:read"]})
    ids = {"project_id": project, "task_id": task["id"], "credential_id": credential["id"], "token_id": token["id"]}
    return ids | {"repository_id": repository["id"]}


def _told(answer: Json) -> Json:
    """What does not tell one request from another."""
    return {key: value for key, value in answer.items() if key not in {"instance", "request_id"}}


def _body(path: str) -> Json:
    """One that the route takes."""
    if path.endswith("/budget"):
        return {"max_cost_usd": 5} if "/tasks/" in path else {"monthly_usd": 5}
    if path.endswith("/environment"):
        return {"setup_script": "mkdir lib", "directories": ["lib"]}
    if path.endswith(("/{project_id}", "/agent-defaults/{agent}")):
        return {}
    return {"tree_sha": "0" * 40} if path.endswith(("/approve", "/publish")) else {"url": "https://example.org/x.git"}


def test_every_route_answers_for_others_things_as_for_none(stack: Stack, person: Person, theirs: dict[str, str]) -> None:
    nobodys = {name: str(uuid.uuid4()) for name in theirs}
    tried = 0
    with stranger(stack) as client:
        for route in routes(client):
            if "{" not in route.path:
                continue
            body = _body(route.path) if route.body else None
            answers = [client.request(route.method, route.at({"agent": "shell"} | ids), json=body) for ids in (theirs, nobodys)]
            assert [answer.status_code for answer in answers] == [404, 404], (route, answers[0].text)
            assert _told(answers[0].json()) == _told(answers[1].json()), route
            tried += 1
    assert tried >= 10
    assert person.get(theirs["task_id"])["state"] == "succeeded"
    assert theirs["credential_id"] in {found["id"] for found in person.client.pages("/v1/credentials")}
    assert {found["id"]: found["revoked_at"] for found in person.client.pages("/v1/tokens")}[theirs["token_id"]] is None


def test_no_body_takes_others_things(stack: Stack, theirs: dict[str, str]) -> None:
    with stranger(stack) as client:
        own = client.post("/v1/projects", json={"name": "mine"}).json()["id"]
        client.post(f"/v1/projects/{own}/repositories", json={"url": "https://example.org/x.git"}).raise_for_status()
        task = {"project_id": own, "prompt": "true", "agent": "shell"}
        for wrong in (
            {"project_id": theirs["project_id"]},
            {"repository_id": theirs["repository_id"]},
            {"credential_ids": [theirs["credential_id"]]},
        ):
            assert client.post("/v1/tasks", json=task | wrong).status_code == 404, wrong
        credential = {"purpose": "git_token", "host": "example.org", "value": GIT_TOKEN, "project_id": theirs["project_id"]}
        assert client.post("/v1/credentials", json=credential).status_code == 404


def test_lists_keys_and_places_of_others_give_nothing(stack: Stack, person: Person, theirs: dict[str, str]) -> None:
    cursor = person.client.get("/v1/tasks", limit=1)["next_cursor"] or f"1795361378825320.{theirs['task_id']}"
    key = {"idempotency-key": str(uuid.uuid4())}
    first = person.client.post("/v1/tasks", {"project_id": theirs["project_id"], "prompt": "true", "agent": "shell"}, key)
    with stranger(stack) as client:
        for path in (
            f"/v1/tasks?cursor={cursor}",
            f"/v1/tasks?project_id={theirs['project_id']}",
            f"/v1/audit?task_id={theirs['task_id']}",
        ):
            answer: Json = client.get(path).json()
            assert answer.get("items", answer.get("entries")) == []
        own = client.post("/v1/projects", json={"name": "mine"}).json()["id"]
        client.post(f"/v1/projects/{own}/repositories", json={"url": "https://example.org/x.git"}).raise_for_status()
        again = client.post("/v1/tasks", json={"project_id": own, "prompt": "true", "agent": "shell"}, headers=key)
        assert (again.status_code, again.json()["id"] != first["id"]) == (201, True)
