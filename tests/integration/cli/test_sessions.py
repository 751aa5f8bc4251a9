"""Signing in, the session's file, and its renewal: one process, many at once, and when it is refused."""

import json
import stat
from pathlib import Path

import pytest

from cli.client import Client
from cli.exits import CliError, Exit
from cli.identity import IdentityProvider
from cli.sessions import SessionFile

from .api import EMAIL, PASSWORD, Answer, Api, page, problem, serving
from .command import Person

ME = {"id": "1", "email": EMAIL}


def expire(person: Person) -> None:
    """Let the stored access token be one that has ended."""
    stored = json.loads(person.session_file.read_text())
    for session in stored.values():
        session["expires_at"] = 0
    person.session_file.write_text(json.dumps(stored))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_signing_in_keeps_a_session_for_the_user_alone(api: Api, person: Person) -> None:
    person.session_file.parent.mkdir(parents=True, mode=0o755)
    done = person.run("login", "--email", EMAIL, "--password-file", "-", stdin=PASSWORD + "\n")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"server": api.url, "email": EMAIL})
    assert (mode(person.session_file), mode(person.session_file.parent)) == (0o600, 0o700)
    api.answers["GET", "/v1/me"] = Answer(ME)
    assert json.loads(person.run("whoami").stdout) == {"server": api.url, **ME}


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (Answer({"msg": f"no {PASSWORD}"}, 400), Exit.NOT_SIGNED_IN, "address or the password is wrong"),
        (Answer({}, 429), Exit.REFUSED, "too many attempts"),
        (Answer(b"<html>", 502), Exit.UNREACHABLE, "cannot sign anybody in"),
        (Answer(b"<html>"), Exit.FAILED, "does not answer as an identity provider"),
        (Answer({"access_token": "x"}), Exit.FAILED, "does not answer as an identity provider"),
    ],
)
def test_a_refused_sign_in_says_why_and_nothing_secret(api: Api, person: Person, answer: Answer, code: Exit, said: str) -> None:
    api.answers["POST", "/auth/v1/token"] = answer
    done = person.run("login", "--email", EMAIL, "--password-file", "-", stdin=PASSWORD)
    assert done.returncode == code
    assert said in done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    assert not person.session_file.exists()


def test_the_generated_users_password_goes_to_no_other_server(api: Api, person: Person) -> None:
    done = person.run("login")
    assert (done.returncode, api.asked) == (Exit.USAGE, [])


def test_nobody_is_asked_where_nobody_is(person: Person) -> None:
    done = person.run("login", "--email", EMAIL)
    assert done.returncode == Exit.USAGE
    assert "standard input" in done.stderr


def test_a_token_goes_to_its_own_server_only(client: Client, person: Person) -> None:
    assert client.server == person.server
    with serving() as other:
        done = person.run("whoami", ASYNC_CODE_URL=other.url)
        assert done.returncode == Exit.NOT_SIGNED_IN
        assert other.asked == []


def test_a_token_that_has_ended_is_renewed_once_for_all_commands_that_run_at_once(api: Api, client: Client, person: Person) -> None:
    api.answers["GET", "/v1/me"] = Answer(ME)
    expire(person)
    running = [person.start("whoami") for _ in range(5)]
    outputs = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0] * 5, outputs
    assert api.refreshes == 1
    assert mode(person.session_file) == 0o600
    assert client.get("/v1/me") == ME


def test_a_token_that_the_server_no_longer_takes_is_renewed_once(api: Api, client: Client) -> None:
    api.answers["GET", "/v1/me"] = Answer(ME)
    api.access += 7
    assert client.get("/v1/me") == ME
    assert api.refreshes == 1
    api.answers["GET", "/v1/me"] = problem(401, "unauthenticated")
    with pytest.raises(CliError) as refused:
        client.get("/v1/me")
    assert (refused.value.code, api.refreshes) == (Exit.NOT_SIGNED_IN, 2)


def test_a_refused_renewal_says_sign_in_again(api: Api, client: Client, person: Person) -> None:
    assert client.server
    expire(person)
    api.refresh += 1
    done = person.run("task", "list")
    assert done.returncode == Exit.NOT_SIGNED_IN
    assert done.stderr == "async-code: The sign-in has ended.\nRun: ./async-code login\n"


def test_a_renewal_that_fails_for_a_while_loses_nothing(api: Api, client: Client, person: Person) -> None:
    expire(person)
    before = person.session_file.read_text()
    api.answers["POST", "/auth/v1/token"] = Answer({}, 503)
    with pytest.raises(CliError) as failed:
        client.get("/v1/me")
    assert failed.value.code == Exit.UNREACHABLE
    assert person.session_file.read_text() == before


def test_a_refresh_token_goes_only_where_the_server_says_now(api: Api, client: Client, person: Person) -> None:
    expire(person)
    with serving() as moved:
        api.answers["GET", "/v1/auth"] = Answer({"auth_url": f"{moved.url}/auth/v1"})
        with pytest.raises(CliError) as refused:
            client.get("/v1/me")
        assert refused.value.code == Exit.NOT_SIGNED_IN
        assert moved.asked == []


@pytest.mark.parametrize("url", ["http://auth.example.com/auth/v1", "ftp://auth.example.com", "file:///etc/passwd", ""])
def test_a_password_is_never_sent_less_safely_than_the_server_is_reached(url: str) -> None:
    with pytest.raises(CliError, match="not safe"):
        IdentityProvider("https://example.com", url)


def test_signing_out_forgets_and_tells_the_server(api: Api, client: Client, person: Person) -> None:
    assert client.server
    api.answers["POST", "/auth/v1/logout"] = Answer(status=204)
    token = api.access_token
    assert json.loads(person.run("logout").stdout) == {"server": api.url, "signed_out": True, "ended_at_server": True}
    (told,) = api.of("POST", "/auth/v1/logout")
    assert (told.headers["authorization"], told.query) == (f"Bearer {token}", {"scope": ["local"]})
    assert json.loads(person.session_file.read_text()) == {}
    assert json.loads(person.run("logout").stdout)["signed_out"] is False


def test_signing_out_works_without_the_server(api: Api, client: Client, person: Person) -> None:
    assert client.server
    api.stop()
    done = person.run("logout")
    assert (done.returncode, json.loads(done.stdout)["ended_at_server"]) == (0, False)
    assert json.loads(person.session_file.read_text()) == {}


def test_a_token_of_the_environment_goes_first_and_is_not_renewed(api: Api, client: Client, person: Person) -> None:
    assert client.server
    api.answers["GET", "/v1/me"] = Answer(ME)
    assert person.run("whoami", ASYNC_CODE_TOKEN=api.access_token).returncode == 0
    done = person.run("whoami", ASYNC_CODE_TOKEN="planted-wrong-token")
    assert (done.returncode, api.refreshes) == (Exit.NOT_SIGNED_IN, 0)
    assert "planted-wrong-token" not in done.stderr
    assert person.run("whoami", ASYNC_CODE_TOKEN="not\na token").returncode == Exit.USAGE


def stored(directory: Path, content: str) -> SessionFile:
    sessions = SessionFile({"XDG_CONFIG_HOME": str(directory)})
    sessions.path.parent.mkdir()
    sessions.path.write_text(content)
    sessions.path.chmod(0o600)
    return sessions


@pytest.mark.parametrize("content", ["[]", '{"http://x": 3}', '{"http://x": {"server": "y"}}'])
def test_a_session_of_another_version_counts_as_none(tmp_path: Path, content: str) -> None:
    assert stored(tmp_path, content).get("http://x") is None


@pytest.mark.parametrize("content", ["", "{"])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    with pytest.raises(CliError, match="cannot be read") as damaged:
        stored(tmp_path, content).get("http://x")
    assert damaged.value.code == Exit.NOT_SIGNED_IN


def test_a_file_that_others_can_read_is_not_used(client: Client, person: Person) -> None:
    assert client.server
    person.session_file.chmod(0o644)
    done = person.run("task", "list")
    assert done.returncode == Exit.NOT_SIGNED_IN
    assert "open to others" in done.stderr


def test_a_relative_configuration_directory_is_ignored() -> None:
    assert SessionFile({"XDG_CONFIG_HOME": "here", "HOME": "/h"}).path == Path("/h/.config/async-code/sessions.json")


def test_no_secret_is_shown_or_passed_on(api: Api, client: Client, person: Person) -> None:
    assert client.server
    api.answers["GET", "/v1/tasks"] = page([])
    for arguments in (("task", "list"), ("task", "show", "3f2a"), ("logout",)):
        done = person.run(*arguments, ASYNC_CODE_DEBUG="1")
        assert "planted-" not in done.stdout + done.stderr
    assert {path.name for path in person.session_file.parent.iterdir()} == {"sessions.lock", "sessions.json"}
