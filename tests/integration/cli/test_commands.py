"""What programs see: JSON on standard output, errors and codes; and what never happens: a traceback, a raw escape, a lost task."""

import json
import subprocess
import sys
from typing import Any

import pytest

from cli.client import Client
from cli.exits import CliError, Exit

from .api import TASK_ID, Answer, Api, Asked, page, problem, task
from .command import ROOT, Person

HOSTILE = "\x1b[2J\x1b]0;pwned\x07 [red]x[/red] \u202e\u2066 \x9b31m \x7f \\"
PROJECT = {"id": "aaaa0000-0000-4000-8000-000000000001", "name": "web", "publish_policy": "auto", "created_at": "2026-11-22T12:00:00Z"}
TASK = f"/v1/tasks/{TASK_ID}"


@pytest.fixture(autouse=True)
def _signed_in(client: Client) -> None:
    assert client.server


def test_lists_are_one_array_over_all_pages_with_the_exact_values(api: Api, person: Person) -> None:
    first, second = task(title=HOSTILE), task(title="two\n")
    api.answers["GET", "/v1/tasks"] = lambda asked: page([second]) if "cursor" in asked.query else page([first], "1.x")
    done = person.run("task", "list", "--state", "running", "--limit", "5")
    assert json.loads(done.stdout) == [first, second]
    assert not set(done.stdout) & set("\x1b\x9b\x7f\u202e\u2066")
    asked = api.of("GET", "/v1/tasks")
    assert [request.query["state"] for request in asked] == [["running"]] * 2
    assert len(json.loads(person.run("task", "list", "--limit", "1").stdout)) == 1


@pytest.mark.parametrize(
    ("encoding", "flag"), [("C.UTF-8", ""), ("en_US.ISO-8859-1", "iso-8859-1"), ("POSIX", "ascii")], ids=["utf-8", "latin-1", "ascii"]
)
def test_the_values_are_exact_in_every_encoding(api: Api, person: Person, encoding: str, flag: str) -> None:
    api.answers["GET", TASK] = Answer(task(title="Grüße 世界 \ud83d\ude00 \ud800"))
    environment = {"LC_ALL": encoding} | ({"PYTHONIOENCODING": flag} if flag else {})
    done = person.run("task", "show", TASK_ID, **environment)
    assert json.loads(done.stdout)["title"] == "Grüße 世界 \U0001f600 \ud800"


def test_a_task_is_found_by_the_beginning_of_its_id(api: Api, person: Person) -> None:
    other = task(id="3f2b0000-0000-4000-8000-000000000002")
    api.answers["GET", "/v1/tasks"] = page([task(), other])
    api.answers["GET", TASK] = Answer(task())
    assert json.loads(person.run("task", "show", "3F2A").stdout)["id"] == TASK_ID
    several = person.run("task", "show", "3f2")
    assert (several.returncode, several.stderr.splitlines()[0]) == (Exit.NOT_FOUND, "async-code: 2 tasks begin with '3f2'.")
    for nothing in ("ffff", "../../v1/me", "", "x" * 36, HOSTILE):
        done = person.run("task", "show", "--", nothing)
        assert done.returncode == Exit.NOT_FOUND
        assert "\x1b" not in done.stderr
    assert {asked.path for asked in api.asked} <= {"/v1/auth", "/auth/v1/token", "/v1/tasks", TASK}


def test_an_error_is_two_lines_or_one_problem_document(api: Api, person: Person) -> None:
    faults = [{"field": "body.prompt", "rule": "prompt_blank", "message": f"must say something {HOSTILE}"}]
    api.answers["GET", "/v1/projects"] = page([PROJECT])
    api.answers["POST", "/v1/tasks"] = problem(422, "invalid", errors=faults, request_id="r-1")
    plain = person.run("task", "create", "-p", "web", " ")
    assert (plain.returncode, plain.stdout) == (Exit.REFUSED, "")
    assert plain.stderr.startswith("async-code: prompt: must say something ␛[2J")
    assert plain.stderr.count("\n") == 1
    asked = person.run("task", "create", "-p", "web", "--json", " ")
    document: dict[str, Any] = json.loads(asked.stderr)
    assert (asked.returncode, asked.stdout, document["errors"], document["exit_code"]) == (Exit.REFUSED, "", faults, 6)
    assert (document["status"], document["request_id"]) == (422, "r-1")
    assert not set(asked.stderr) & set("\x1b\x9b\x7f\u202e")


@pytest.mark.parametrize("arguments", [["task", "show"], ["task", "list", "--state", "x"], ["nothing"], ["task", "show", "--what", "3f2a"]])
def test_a_wrong_command_line_is_two_lines_too(person: Person, arguments: list[str]) -> None:
    done = person.run(*arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (Exit.USAGE, "", 2)
    assert done.stderr.splitlines()[1].endswith("--help")
    document = json.loads(person.run(*arguments, "--json").stderr)
    assert (document["type"], document["exit_code"]) == ("about:blank", 2)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(b"<html>hello"), Exit.FAILED),
        (Answer([]), Exit.FAILED),
        (Answer({"other": 1}), Exit.FAILED),
        (Answer({"items": [{}], "next_cursor": None}), Exit.FAILED),
        (Answer({"items": 3, "next_cursor": None}), Exit.FAILED),
        (Answer(b"\x00" * 10, headers={"content-encoding": "gzip"}), Exit.UNREACHABLE),
        (Answer(b"", 302, {"location": "http://127.0.0.1:1/"}), Exit.FAILED),
        (Answer(b"", 503), Exit.UNREACHABLE),
        (problem(500, "internal"), Exit.FAILED),
    ],
)
def test_whatever_a_server_answers_there_is_no_traceback(api: Api, person: Person, answer: Answer, code: Exit) -> None:
    api.answers["GET", "/v1/tasks"] = answer
    code_on_terminal, text = person.on_terminal("task", "list")
    assert (code_on_terminal, "Traceback" in text) == (code, False)
    assert text.startswith("\x1b[31masync-code: ")


def test_an_unexpected_failure_shows_its_traceback_only_when_asked(api: Api, person: Person) -> None:
    api.answers["GET", "/v1/tasks"] = Answer({"items": [{}], "next_cursor": None})
    assert "KeyError" in person.on_terminal("task", "list")[1]
    assert "Traceback" in person.run("task", "show", "3f2a", ASYNC_CODE_DEBUG="1").stderr


@pytest.mark.parametrize(
    "url",
    ["ftp://x", "127.0.0.1:80", "http://", "http://a@b", "http://a b", "http://[", "http://x:99999", "https://x/?q", "http://\x1b[2J"],
)
def test_an_address_that_is_none_is_refused(person: Person, url: str) -> None:
    done = person.run("whoami", ASYNC_CODE_URL=url)
    assert (done.returncode, done.stderr.splitlines()[0]) == (Exit.USAGE, "async-code: ASYNC_CODE_URL is no address of a server.")


def test_a_server_that_is_not_there_is_said(api: Api, person: Person) -> None:
    api.stop()
    done = person.run("task", "list")
    assert (done.returncode, done.stderr) == (Exit.UNREACHABLE, f"async-code: {api.url} does not answer.\nStart it with: ./async-code up\n")


def test_a_reader_that_goes_away_is_no_trouble(api: Api, person: Person) -> None:
    api.answers["GET", f"{TASK}/messages"] = Answer({"messages": [{"event": {"text": "x" * 60_000}}] * 20, "next_cursor": None})
    process = person.start("task", "log", TASK_ID)
    assert process.stdout
    assert process.stderr
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(60) == Exit.FAILED
    process.stderr.close()


def test_a_task_is_handed_in_with_everything_that_was_said(api: Api, person: Person) -> None:
    repository = {"id": "bbbb0000-0000-4000-8000-000000000001", "url": "https://example.com/a.git"}
    api.answers["GET", "/v1/projects"] = page([PROJECT])
    api.answers["GET", f"/v1/projects/{PROJECT['id']}/repositories"] = page([repository])
    api.answers["POST", "/v1/tasks"] = Answer(task(), 201)
    options = ("--agent", "shell", "--model", "m", "--title", "t", "--base", "b", "-r", repository["url"])
    limits = ("--limit", "wall_seconds=60", "--limit", "max_cost_usd=2.5")
    done = person.run("task", "create", "-p", "web", *options, *limits, "-", stdin="echo 1\necho 2\n")
    assert json.loads(done.stdout) == task()
    (asked,) = api.of("POST", "/v1/tasks")
    assert asked.json == {
        "project_id": PROJECT["id"],
        "repository_id": repository["id"],
        "prompt": "echo 1\necho 2\n",
        "agent": "shell",
        "model": "m",
        "title": "t",
        "base_ref": "b",
        "limits": {"wall_seconds": 60, "max_cost_usd": 2.5},
    }
    for wrong in ("wall_seconds", "wall_seconds=x", "=", "a=nanx"):
        assert person.run("task", "create", "-p", "web", "--limit", wrong, "x").returncode == Exit.USAGE


def test_a_lost_answer_makes_no_second_task(api: Api, client: Client) -> None:
    def lost(_asked: Asked) -> Answer:
        api.answers["POST", "/v1/tasks"] = Answer(task(), 201)
        return Answer(b"{", cut=True)

    api.answers["POST", "/v1/tasks"] = lost
    assert client.post_once("/v1/tasks", {"prompt": "x"}) == task()
    keys = [asked.headers["idempotency-key"] for asked in api.of("POST", "/v1/tasks")]
    assert (len(keys), len(set(keys))) == (2, 1)


def test_a_refused_task_is_not_sent_again(api: Api, client: Client) -> None:
    api.answers["POST", "/v1/tasks"] = problem(503, "unavailable")
    with pytest.raises(CliError):
        client.post_once("/v1/tasks", {})
    assert len(api.of("POST", "/v1/tasks")) == 1


def test_a_diff_is_the_exact_bytes(api: Api, person: Person) -> None:
    patch = b"diff --git a/x b/x\n+\x1b[31m\r\n\xff\x00"
    api.answers["GET", f"{TASK}/patch"] = Answer(patch, headers={"content-type": "text/x-diff"})
    process = person.start("task", "diff", TASK_ID)
    assert process.communicate(timeout=60) == (patch, b"")
    changes = {"files": [{"path": "x\x1b"}]}
    api.answers["GET", f"{TASK}/changes"] = Answer(changes)
    assert json.loads(person.run("task", "diff", TASK_ID, "--json").stdout) == changes


def test_a_credential_comes_from_a_file_and_is_shown_nowhere(api: Api, person: Person) -> None:
    api.answers["POST", "/v1/credentials"] = Answer({"id": "1", "purpose": "git_token"}, 201)
    file = person.home / "token"
    file.write_text("planted-git-token\n")
    done = person.run("credential", "add", "git_token", "--host", "example.com", "--file", str(file))
    assert "planted" not in done.stdout + done.stderr
    assert api.of("POST", "/v1/credentials")[0].json == {"purpose": "git_token", "host": "example.com", "value": "planted-git-token"}
    missing = person.run("credential", "add", "git_token", "--file", str(person.home / "nothing"))
    assert (missing.returncode, missing.stderr.count("\n")) == (Exit.FAILED, 2)


def test_hostile_text_never_reaches_a_terminal_raw(api: Api, person: Person) -> None:
    hostile = task("awaiting_approval", title=HOSTILE, branch=HOSTILE, failure={"message": HOSTILE, "advice": HOSTILE})
    said = [
        {"event": {"kind": kind, "text": HOSTILE * 50, "name": HOSTILE}}
        for kind in ("message", "tool_call", "tool_result", "log", "status")
    ]
    api.answers["GET", TASK] = Answer(hostile)
    api.answers["GET", "/v1/tasks"] = page([hostile])
    api.answers["GET", "/v1/projects"] = page([{**PROJECT, "name": HOSTILE}])
    api.answers["GET", f"{TASK}/messages"] = Answer({"messages": said, "next_cursor": None})
    api.answers["GET", f"{TASK}/patch"] = Answer(f"+{HOSTILE}".encode())
    api.answers["POST", f"{TASK}/cancel"] = problem(409, "x", HOSTILE)
    commands = [["show", TASK_ID], ["list"], ["log", TASK_ID], ["diff", TASK_ID], ["cancel", TASK_ID], ["show", TASK_ID, "--json"]]
    for arguments in (["task", *command] for command in commands):
        _, text = person.on_terminal(*arguments)
        assert "red" in text, arguments
        _assert_only_colours(text)
    _assert_only_colours(person.on_terminal("project", "list")[1])


def _assert_only_colours(text: str) -> None:
    """Every escape is one of ours: colours, weights and back to normal."""
    for sequence in text.split("\x1b")[1:]:
        code, _, _ = sequence.partition("m")
        assert code.startswith("[")
        assert set(code[1:]) <= set("0123456789;")
    assert not set(text) & set("\x07\x9b\x7f\u202e\u2066")


def test_what_every_command_loads_is_little() -> None:
    heavy = {"pydantic", "nats", "faststream", "asyncpg", "fastapi", "docker", "git", "cryptography", "structlog", "asyncio", "services"}
    script = f"import sys, cli.app; print(sorted({heavy} & {{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
