"""The table of who may call what: it has every route and no other, and no spelling of a path slips through it."""

import pytest
from fastapi.routing import APIRoute

from services.gateway import access, access_page
from services.gateway.access import TABLE, Who
from services.gateway.api import ROUTERS
from shared.events.values import TokenScope

DOCUMENT = ("GET", "/v1/openapi.json")
"""The one route that no router of ours has."""


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    routes = {
        (method, route.path)
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    assert routes | {DOCUMENT} == set(TABLE)
    assert len(routes) == sum(len(router.routes) for router in ROUTERS)


def test_the_page_is_the_table_s() -> None:
    text = access_page.PAGE.read_text()
    assert access_page.replaced(text) == text, "run: python -m services.gateway.access_page"


def test_what_a_person_decides_no_token_decides() -> None:
    persons = {row for row, need in TABLE.items() if need is Who.PERSON}
    assert {(method, path) for method, path in TABLE if path.startswith("/v1/tokens")} <= persons
    assert {("POST", "/v1/tasks/{task_id}/approve"), ("POST", "/v1/tasks/{task_id}/publish")} <= persons


def test_nothing_is_written_by_a_scope_that_reads() -> None:
    readers = {TokenScope.TASKS_READ, TokenScope.PROJECTS_READ, TokenScope.AUDIT_READ, Who.CALLER, Who.ANYONE}
    assert {method for (method, _), need in TABLE.items() if need in readers} == {"GET"}


def test_credentials_need_the_scope_of_the_account() -> None:
    assert {need for (_, path), need in TABLE.items() if path.startswith("/v1/credentials")} == {TokenScope.ADMIN}


@pytest.mark.parametrize(
    ("method", "path", "need"),
    [
        ("GET", "/v1/tasks", TokenScope.TASKS_READ),
        ("POST", "/v1/tasks", TokenScope.TASKS_WRITE),
        ("GET", "/v1/tasks/x", TokenScope.TASKS_READ),
        ("POST", "/v1/tasks/x/approve", Who.PERSON),
        ("PUT", "/v1/projects/x/agent-defaults/y", TokenScope.PROJECTS_WRITE),
        ("GET", "/v1/me", Who.CALLER),
        ("HEAD", "/v1/tasks", None),
        ("get", "/v1/tasks", None),
        ("DELETE", "/v1/tasks/x", None),
        ("GET", "/v1/tasks/", None),
        ("GET", "/v1/tasks\n", None),
        ("GET", "/v1//tasks", None),
        ("GET", "/v1/tasks/x/y", None),
        ("GET", "/v1/tasks/x/events/", None),
        ("GET", "/V1/tasks", None),
        ("GET", "", None),
    ],
)
def test_a_path_needs_what_its_row_says_and_one_without_a_row_nothing_that_a_token_has(method: str, path: str, need: object) -> None:
    assert access.need(method, path) == need


def test_a_path_names_its_methods() -> None:
    assert access.methods("/v1/tasks") == ("GET", "POST")
    assert access.methods("/v1/nothing") == ()
