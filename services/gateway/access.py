"""Who may call which route: one table. The edge decides by it, and the OpenAPI document and docs/security.md are made from it. Pure.

A route that has no row is closed to API tokens, whatever they may do otherwise, and a test fails for it. No scope includes another, so
that a row can be read as it stands. What a person has to decide, so that nothing an agent wrote runs with secrets before (DESIGN §1),
no token decides; nor does a token make, see or revoke tokens.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from shared.events.values import TokenScope


class Who(StrEnum):
    """Who may call a route, where that is no matter of a scope."""

    ANYONE = "anyone"
    CALLER = "any caller"
    """A signed-in person, or any API token."""
    PERSON = "a person"
    """A signed-in person; no API token."""


Need = Who | TokenScope
"""What a route needs. A signed-in person may call all of them: for their own things, which the queries see to."""

_PROJECT, _TASK = "/v1/projects/{project_id}", "/v1/tasks/{task_id}"

TABLE: Final[Mapping[tuple[str, str], Need]] = {
    ("GET", "/"): Who.ANYONE,
    ("GET", "/v1/auth"): Who.ANYONE,
    ("GET", "/v1/openapi.json"): Who.ANYONE,
    ("GET", "/v1/me"): Who.CALLER,
    ("GET", "/v1/agents"): Who.CALLER,
    ("GET", "/v1/projects"): TokenScope.PROJECTS_READ,
    ("POST", "/v1/projects"): TokenScope.PROJECTS_WRITE,
    ("GET", _PROJECT): TokenScope.PROJECTS_READ,
    ("PATCH", _PROJECT): TokenScope.PROJECTS_WRITE,
    ("PUT", _PROJECT + "/agent-defaults/{agent}"): TokenScope.PROJECTS_WRITE,
    ("GET", _PROJECT + "/environment"): TokenScope.PROJECTS_READ,
    ("PUT", _PROJECT + "/environment"): TokenScope.PROJECTS_WRITE,
    ("DELETE", _PROJECT + "/environment"): TokenScope.PROJECTS_WRITE,
    ("GET", _PROJECT + "/repositories"): TokenScope.PROJECTS_READ,
    ("POST", _PROJECT + "/repositories"): TokenScope.PROJECTS_WRITE,
    ("GET", _PROJECT + "/budget"): TokenScope.PROJECTS_READ,
    ("PUT", _PROJECT + "/budget"): TokenScope.ADMIN,
    ("GET", "/v1/budget"): TokenScope.PROJECTS_READ,
    ("PUT", "/v1/budget"): TokenScope.ADMIN,
    ("GET", "/v1/credentials"): TokenScope.ADMIN,
    ("POST", "/v1/credentials"): TokenScope.ADMIN,
    ("DELETE", "/v1/credentials/{credential_id}"): TokenScope.ADMIN,
    ("GET", "/v1/tokens"): Who.PERSON,
    ("POST", "/v1/tokens"): Who.PERSON,
    ("DELETE", "/v1/tokens/{token_id}"): Who.PERSON,
    ("GET", "/v1/tasks"): TokenScope.TASKS_READ,
    ("POST", "/v1/tasks"): TokenScope.TASKS_WRITE,
    ("GET", _TASK): TokenScope.TASKS_READ,
    ("GET", _TASK + "/events"): TokenScope.TASKS_READ,
    ("GET", _TASK + "/messages"): TokenScope.TASKS_READ,
    ("GET", _TASK + "/changes"): TokenScope.TASKS_READ,
    ("GET", _TASK + "/patch"): TokenScope.TASKS_READ,
    ("POST", _TASK + "/cancel"): TokenScope.TASKS_WRITE,
    ("POST", _TASK + "/budget"): TokenScope.TASKS_WRITE,
    ("POST", _TASK + "/reject"): TokenScope.TASKS_WRITE,
    ("POST", _TASK + "/discard"): TokenScope.TASKS_WRITE,
    ("POST", _TASK + "/approve"): Who.PERSON,
    ("POST", _TASK + "/publish"): Who.PERSON,
    ("GET", "/v1/audit"): TokenScope.AUDIT_READ,
    ("GET", "/v1/audit/checkpoint"): TokenScope.AUDIT_READ,
}

PUBLIC: Final = frozenset(path for (_, path), needed in TABLE.items() if needed is Who.ANYONE)
"""Read by anyone: where to sign in, and how to talk to us."""

_FORMS: Final = tuple(
    (method, re.compile(re.sub(r"\\\{[a-z_]+\\\}", "[^/]+", re.escape(template))), needed) for (method, template), needed in TABLE.items()
)


def need(method: str, path: str) -> Need | None:
    """What a request needs; None where no route of the table is meant."""
    return next((needed for known, form, needed in _FORMS if known == method and form.fullmatch(path)), None)


def methods(path: str) -> tuple[str, ...]:
    """The methods that the table knows for a path; none where it knows no such path."""
    return tuple(method for method, form, _ in _FORMS if form.fullmatch(path))
