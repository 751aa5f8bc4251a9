"""Watching a task through everything that can happen to a connection."""

import json
import signal
from collections.abc import Callable
from typing import Any

import pytest

from cli.client import Client
from cli.events import Pace, ServerEvent, follow
from cli.exits import CliError, Exit

from .api import TASK_ID, Answer, Api, Asked, events, problem, task
from .command import Person

PATH = f"/v1/tasks/{TASK_ID}/events"
QUICK = Pace(retry_seconds=0.01, patience_seconds=0.2)
SNAPSHOT = ("snapshot", "3.0", task("queued"))
RUNNING = ("state", "4.0", {"state": "running"})
END = ("end", "6.3", task("succeeded"))


def said(number: int, text: str = "x") -> tuple[str, str, Any]:
    return ("output", f"4.{number}", {"event": {"kind": "log", "text": text}})


def told(client: Client) -> list[tuple[str, str | None]]:
    return [(event.name, event.id) for event in follow(client, TASK_ID, QUICK)]


def resumed(api: Api) -> list[str | None]:
    return [asked.headers.get("last-event-id") for asked in api.of("GET", PATH)]


def test_a_broken_connection_goes_on_behind_the_last_whole_event(api: Api, client: Client) -> None:
    half = events(SNAPSHOT, RUNNING, said(1))
    api.answers["GET", PATH] = [
        Answer(half.body + b"event: output\nid: 4.2\nda", headers=half.headers, cut=True),
        events(said(2), said(3), END),
    ]
    assert told(client) == [("snapshot", "3.0"), ("state", "4.0"), ("output", "4.1"), ("output", "4.2"), ("output", "4.3"), ("end", "6.3")]
    assert resumed(api) == [None, "4.1"]


def test_a_place_that_is_not_kept_starts_afresh_and_repeats_nothing(api: Api, client: Client) -> None:
    gone = problem(410, "gone")
    again = events(("snapshot", "4.0", task()), said(2), said(5), ("state", "6.5", {"state": "succeeded"}), END)
    api.answers["GET", PATH] = [events(SNAPSHOT, RUNNING, said(1), said(2)), gone, again]
    names = told(client)
    assert names[4:] == [("snapshot", "4.0"), ("output", "4.5"), ("state", "6.5"), ("end", "6.3")]
    assert resumed(api) == [None, "4.2", None]


@pytest.mark.parametrize(
    "trouble", [problem(503, "unavailable"), problem(429, "too-many-streams"), Answer(b"<html>", 502), Answer(b"", 500)]
)
def test_a_server_that_is_not_well_for_a_while_is_tried_again(api: Api, client: Client, trouble: Answer) -> None:
    api.answers["GET", PATH] = [events(SNAPSHOT), trouble, trouble, events(END)]
    assert told(client) == [("snapshot", "3.0"), ("end", "6.3")]


def test_a_stream_that_ends_without_an_end_is_opened_again(api: Api, client: Client) -> None:
    api.answers["GET", PATH] = [events(SNAPSHOT, cut=False), events(cut=False), events(END, cut=False)]
    assert told(client) == [("snapshot", "3.0"), ("end", "6.3")]
    assert resumed(api) == [None, "3.0", "3.0"]


def test_a_token_that_ends_meanwhile_is_renewed(api: Api, client: Client) -> None:
    def expired(_asked: Asked) -> Answer:
        api.answers["GET", PATH] = events(END)
        api.access += 1
        return events(SNAPSHOT)

    api.answers["GET", PATH] = expired
    assert told(client) == [("snapshot", "3.0"), ("end", "6.3")]
    assert api.refreshes == 1


def test_a_server_that_is_gone_is_said_after_some_patience(api: Api, client: Client) -> None:
    losses: list[str] = []

    def stop(_asked: Asked) -> Answer:
        api.answers["GET", PATH] = problem(503, "unavailable")
        return events(SNAPSHOT)

    api.answers["GET", PATH] = stop
    with pytest.raises(CliError) as gone:
        for _ in follow(client, TASK_ID, QUICK, lambda failure: losses.append(str(failure))):
            pass
    assert (gone.value.code, len(losses)) == (Exit.UNREACHABLE, 1)


def test_a_server_that_was_never_there_is_said_at_once(api: Api, client: Client) -> None:
    api.stop()
    with pytest.raises(CliError) as gone:
        told(client)
    assert gone.value.code == Exit.UNREACHABLE


@pytest.mark.parametrize(("answer", "code"), [(problem(404, "not-found"), Exit.NOT_FOUND), (problem(422, "invalid"), Exit.REFUSED)])
def test_a_refusal_ends_it(api: Api, client: Client, answer: Answer, code: Exit) -> None:
    api.answers["GET", PATH] = [events(SNAPSHOT), answer]
    with pytest.raises(CliError) as refused:
        told(client)
    assert refused.value.code == code


def test_texts_come_through_exactly(api: Api, client: Client) -> None:
    text = "a\u2028b\u0085c\x1b[31m\ud83d\ude00 \U0001f600 \t\\n"
    api.answers["GET", PATH] = events(SNAPSHOT, said(1, text.encode("utf-16", "surrogatepass").decode("utf-16")), END)
    (output,) = [event for event in follow(client, TASK_ID, QUICK) if event.name == "output"]
    assert output == ServerEvent("output", {"event": {"kind": "log", "text": "a\u2028b\u0085c\x1b[31m\U0001f600 \U0001f600 \t\\n"}}, "4.1")


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("succeeded", Exit.OK),
        ("failed", Exit.TASK_FAILED),
        ("cancelled", Exit.TASK_CANCELLED),
        ("timed_out", Exit.TASK_TIMED_OUT),
        ("later_invented", Exit.FAILED),
    ],
)
def test_the_exit_code_says_how_the_task_ended(api: Api, client: Client, person: Person, ending: str, code: Exit) -> None:
    assert client.server
    api.answers["GET", PATH] = events(SNAPSHOT, said(1), ("state", "6.1", {"state": ending}), said(2), ("end", "6.2", task(ending)))
    done = person.run("task", "watch", TASK_ID)
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, [document["event"] for document in documents]) == (code, ["snapshot", "output", "state", "output", "end"])
    assert documents[-1] == {"event": "end", "id": "6.2", "data": task(ending)}


@pytest.mark.parametrize("state", ["awaiting_approval", "awaiting_budget"])
def test_a_task_that_waits_for_a_person_ends_the_watch(api: Api, client: Client, person: Person, state: str) -> None:
    assert client.server
    api.answers["GET", PATH] = events(SNAPSHOT, ("state", "5.0", {"state": state}))
    api.answers["GET", f"/v1/tasks/{TASK_ID}"] = Answer(task(state))
    assert person.run("task", "watch", TASK_ID).returncode == Exit.TASK_WAITS


def test_a_task_that_waited_before_shows_what_was_said(api: Api, client: Client, person: Person) -> None:
    assert client.server
    line = {"number": 1, "event": {"kind": "log", "text": "earlier"}}
    api.answers["GET", PATH] = events(("snapshot", "5.0", task("awaiting_approval")))
    api.answers["GET", f"/v1/tasks/{TASK_ID}/messages"] = Answer({"messages": [line], "next_cursor": None})
    api.answers["GET", f"/v1/tasks/{TASK_ID}"] = Answer(task("awaiting_approval"))
    done = person.run("task", "watch", TASK_ID)
    assert (done.returncode, json.loads(done.stdout.splitlines()[-1])) == (Exit.TASK_WAITS, {"event": "output", "id": None, "data": line})
    assert "earlier" in person.on_terminal("task", "watch", TASK_ID)[1]


@pytest.mark.parametrize("odd", ["x", 1, None, [], {}, {"state": 3}, {"event": "x"}, {"event": {"kind": 1, "text": 2}}])
def test_events_of_any_shape_break_nothing(api: Api, client: Client, person: Person, odd: Any) -> None:
    assert client.server
    api.answers["GET", PATH] = events(*((name, "1.1", odd) for name in ("snapshot", "state", "fact", "else")), ("output", "", odd), END)
    assert person.run("task", "watch", TASK_ID).returncode == 0
    assert person.on_terminal("task", "watch", TASK_ID)[0] == 0


def _held(api: Api) -> Callable[[Asked], Answer]:
    """A stream that says one thing and then nothing more: the next connection is refused."""

    def answer(_asked: Asked) -> Answer:
        api.answers["GET", PATH] = problem(503, "unavailable")
        return events(SNAPSHOT)

    return answer


def test_ctrl_c_ends_the_watch_and_not_the_task(api: Api, client: Client, person: Person) -> None:
    assert client.server
    api.answers["GET", PATH] = _held(api)
    watching = person.start("task", "watch", TASK_ID)
    assert watching.stdout
    assert json.loads(watching.stdout.readline())["event"] == "snapshot"
    watching.send_signal(signal.SIGINT)
    _, err = watching.communicate(timeout=30)
    assert watching.returncode == Exit.INTERRUPTED
    assert b"Traceback" not in err
    assert api.of("POST", f"/v1/tasks/{TASK_ID}/cancel") == []
