"""Watching a task: what is printed while it goes on, and when a person has seen enough."""

import time
from collections.abc import Callable
from typing import Any, cast

from cli import events, printing, views
from cli.client import Client, Json
from cli.events import ServerEvent
from cli.exits import OF_STATE, WAITING, CliError, Exit
from cli.text import line

_HEARD_SECONDS, _LOOK_SECONDS = 30.0, 0.2


def follow(client: Client, whole: str, *, as_json: bool) -> int:
    """Print a task's events until it ends or waits for a person; gives the exit code that says which."""
    try:
        view = _until_over(client, whole, _document if as_json else _Shown(), _quiet if as_json else _say_lost)
    except KeyboardInterrupt:
        if not as_json:
            printing.note(f"The task goes on. Come back with: ./async-code task watch {whole[:8]}")
        raise
    if not as_json:
        printing.say()
        views.task(view)
    return int(OF_STATE.get(str(view.get("state")), Exit.FAILED))


def silently(client: Client, whole: str) -> Json:
    """Wait until a task ends or waits for a person; gives the task."""
    return _until_over(client, whole, _quiet, _quiet)


def until_heard(client: Client, before: Json, *, patience_seconds: float = _HEARD_SECONDS) -> Json:
    """Wait until something has happened to the task since `before`; gives the task.

    An ended task's stream is over at once: whoever reopened it would be told its former end. Raises CliError.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        view = client.get(f"/v1/tasks/{before['id']}")
        if view.get("updated_at") != before.get("updated_at") or view.get("state") != before.get("state"):
            return view
        if time.monotonic() > deadline:
            raise CliError("Nothing has come of it yet.", f"See: ./async-code task show {line(str(before['id']))[:8]}", Exit.UNREACHABLE)
        time.sleep(_LOOK_SECONDS)


def _until_over(client: Client, whole: str, take: Callable[[ServerEvent], None], on_loss: Callable[[CliError], None]) -> Json:
    """Until the stream's `end`, so that everything the agent said is out; a task that waits for a person has no end yet."""
    begun = False
    for event in events.follow(client, whole, on_loss=on_loss):
        take(event)
        if event.name == "end":
            return cast("Json", event.data)
        if _state(event) in WAITING:
            if not begun:  # it waited before anybody watched: its stream says nothing until somebody decides
                for said in client.pages(f"/v1/tasks/{whole}/messages", key="messages", limit=500):
                    take(ServerEvent("output", said, None))
            break
        begun = True
    return client.get(f"/v1/tasks/{whole}")


def _quiet(_about: object) -> None:
    pass


def _state(event: ServerEvent) -> str:
    return str(_part(event.data, "state")) if event.name in {"snapshot", "state"} else ""


def _part(data: Any, name: str) -> Any:
    """A field of something a server sent, which may not be what it should be."""
    return cast("Json", data).get(name) if isinstance(data, dict) else None


def _document(event: ServerEvent) -> None:
    printing.documents([{"event": event.name, "id": event.id, "data": event.data}])


def _say_lost(failure: CliError) -> None:
    printing.note((f"{failure} Trying again for a minute.", "yellow"))


class _Shown:
    """Prints events for a person."""

    def __init__(self) -> None:
        self._begun = False
        self._output = views.Output()

    def __call__(self, event: ServerEvent) -> None:
        if event.name == "output":
            said = _part(event.data, "event")
            if isinstance(said, dict):
                self._output.show(cast("Json", said))
        elif event.name == "snapshot":
            if self._begun:
                printing.note("Some of what came next is not kept any more; it goes on with what is.")
            else:
                printing.say((line(str(_part(event.data, "title") or ""), 120), "bold"))
            self._begun = True
            if _state(event) not in OF_STATE:
                self._say_state(event)
        elif event.name == "state":
            self._say_state(event)

    def _say_state(self, event: ServerEvent) -> None:
        printing.out.print("●", views.state(_state(event)))
