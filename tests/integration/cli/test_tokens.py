"""API tokens at the command line: made, shown once, listed, revoked; and what a machine is told whose token does not do."""

import json

import pytest

from cli.client import Client
from cli.exits import Exit

from .api import Answer, Api, page, problem
from .command import Person

ID = "3f2a0000-0000-4000-8000-00000000000a"
TOKEN = "acp_0000000000000000000000000000002C8GjS"
ENTRY = {
    "id": ID,
    "name": "ci \x1b[31m",
    "prefix": "acp_0000",
    "scopes": ["tasks:read", "tasks:write"],
    "created_at": "2026-11-30T12:00:00Z",
    "expires_at": "2026-12-30T12:00:00Z",
    "last_used_at": None,
    "revoked_at": None,
}
CREATE = ("token", "create", "--name", "ci", "--scope", "tasks:write,tasks:read", "--scope", "audit:read")


@pytest.fixture(autouse=True)
def _signed_in(client: Client) -> None:
    assert client.server


def test_a_token_is_made_as_it_was_asked_for(api: Api, person: Person) -> None:
    api.answers["POST", "/v1/tokens"] = Answer({**ENTRY, "token": TOKEN}, 201)
    assert json.loads(person.run(*CREATE, "--expires", "12h").stdout) == {**ENTRY, "token": TOKEN}
    person.run(*CREATE)
    asked = [request.json for request in api.of("POST", "/v1/tokens")]
    assert asked[0] == {"name": "ci", "scopes": ["tasks:write", "tasks:read", "audit:read"], "expires_in_seconds": 43_200}
    assert asked[1]["expires_in_seconds"] == 90 * 86_400


def test_a_person_sees_it_once_on_a_line_of_its_own(api: Api, person: Person) -> None:
    api.answers["POST", "/v1/tokens"] = Answer({**ENTRY, "token": TOKEN}, 201)
    code, shown = person.on_terminal(*CREATE)
    assert (code, shown.splitlines()[0]) == (0, TOKEN)
    assert "not shown again" in shown


@pytest.mark.parametrize(
    "wrong", [("--expires", "soon"), ("--expires", "0d"), ("--expires", "-1d"), ("--expires", "9" * 30 + "d"), ("--scope", "tasks:*")]
)
def test_what_makes_no_sense_is_not_asked_for(api: Api, person: Person, wrong: tuple[str, str]) -> None:
    done = person.run(*CREATE, *wrong)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (Exit.USAGE, "", 2)
    assert api.of("POST", "/v1/tokens") == []


def test_tokens_are_listed_for_programs_and_for_people(api: Api, person: Person) -> None:
    ended = {**ENTRY, "id": ID.replace("3f2a", "4f2a"), "revoked_at": "2026-11-30T13:00:00Z", "last_used_at": "2026-11-30T12:30:00Z"}
    api.answers["GET", "/v1/tokens"] = page([ENTRY, ended])
    assert json.loads(person.run("token", "list").stdout) == [ENTRY, ended]
    code, shown = person.on_terminal("token", "list", columns=200)
    assert code == 0
    for seen in ("acp_0000…", "tasks:read, tasks:write", "never", "revoked 2026-11-30", ID):
        assert seen in shown
    assert "\x1b[31m" not in shown


def test_a_token_is_revoked_by_the_beginning_of_its_id_and_never_by_itself(api: Api, person: Person) -> None:
    api.answers["GET", "/v1/tokens"] = page([ENTRY])
    api.answers["DELETE", f"/v1/tokens/{ID}"] = Answer(status=204)
    assert json.loads(person.run("token", "revoke", "3f2a").stdout) == {"revoked": ID}
    done = person.run("token", "revoke", TOKEN)
    assert done.returncode == Exit.USAGE
    assert TOKEN not in done.stderr
    assert len(api.of("DELETE", f"/v1/tokens/{ID}")) == 1


def test_a_machine_is_told_what_is_wrong_with_its_token(api: Api, person: Person) -> None:
    api.answers["GET", "/v1/me"] = problem(403, "insufficient-scope", "This needs an API token with the scope tasks:read; yours has admin.")
    done = person.run("whoami", ASYNC_CODE_TOKEN=api.access_token)
    assert done.returncode == Exit.REFUSED
    assert "the scope tasks:read" in done.stderr
    refused = person.run("whoami", "--json", ASYNC_CODE_TOKEN=TOKEN)
    document = json.loads(refused.stderr)
    assert (refused.returncode, document["status"], document["type"]) == (Exit.NOT_SIGNED_IN, 401, "urn:async-code:problem:unauthenticated")
    plain = person.run("whoami", ASYNC_CODE_TOKEN=TOKEN)
    assert plain.stderr.splitlines()[0] == "async-code: The server does not take the token in ASYNC_CODE_TOKEN. It is so."
    assert TOKEN not in refused.stderr + plain.stderr


def test_a_machine_sees_what_its_token_may_do(api: Api, person: Person) -> None:
    me = {"id": ID, "email": None, "role": "authenticated", "session_id": None, "expires_at": ENTRY["expires_at"]}
    api.answers["GET", "/v1/me"] = Answer({**me, "token_id": ID, "scopes": ["audit:read"]})
    code, shown = person.on_terminal("whoami")
    assert code == 0
    assert f"by the API token {ID}: audit:read; until 2026-12-30" in " ".join(shown.split())
