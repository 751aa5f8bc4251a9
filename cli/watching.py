"""Watching a task: what is printed while it goes on, and when a person has seen enough."""

from typing import Any

from cli import events, printing
from cli.client import Client, Json
from cli.exits import OF_STATE, Exit
from shared.events.values import TaskState


def follow(client: Client, whole: str, *, as_json: bool) -> int:
    """Print a task's events until it ends or waits for a person; gives the exit code that says which."""
    for event in events.follow(client, whole):
        if as_json:
            printing.document({"event": event.name, "id": event.id, "data": event.data})
        else:
            _print(event)
        state = _state(event)
        if state in OF_STATE:
            break
    view = client.get(f"/v1/tasks/{whole}")
    if not as_json:
        printing.task(view)
    return int(OF_STATE.get(TaskState(view["state"]), Exit.FAILED))


def silently(client: Client, whole: str) -> Json:
    """Wait until a task ends or waits for a person; gives the task."""
    for event in events.follow(client, whole):
        if _state(event) in OF_STATE:
            break
    return client.get(f"/v1/tasks/{whole}")


def _state(event: events.ServerEvent) -> Any:
    return event.data.get("state") if event.name in {"snapshot", "state"} else None


def _print(event: events.ServerEvent) -> None:
    if event.name == "output":
        printing.output(event.data["event"])
    elif event.name in {"snapshot", "state"}:
        printing.out.print(f"[bold]{printing.state(str(event.data['state']))}[/bold]")
