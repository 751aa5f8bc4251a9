"""What every command needs: which server, which user, and whether a person or a program reads."""

import json
import os
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import typer

from cli.client import Client, Json
from cli.exits import CliError, Exit
from cli.sessions import SessionFile
from deploy.embedded import state

DEFAULT_SERVER = f"http://127.0.0.1:{state.HTTP_PORT}"

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON, also on a terminal.")]
TaskArgument = Annotated[str, typer.Argument(help="A task's id, or enough of its beginning.")]


@dataclass(frozen=True)
class Context:
    """Built once for each call."""

    server: str
    sessions: SessionFile

    @cached_property
    def client(self) -> Client:
        """The API, as the signed-in user; `ASYNC_CODE_TOKEN` goes before a stored session."""
        return Client(self.server, self.sessions, token=os.environ.get("ASYNC_CODE_TOKEN"))


def layout() -> state.Layout:
    """Where this machine's embedded deployment keeps its state."""
    checkout = Path(__file__).resolve().parents[1]
    return state.Layout(state.default_root(os.environ, root=os.geteuid() == 0, checkout=checkout))


def server() -> str:
    """`ASYNC_CODE_URL`, else the embedded deployment of this machine, else the default address."""
    if given := os.environ.get("ASYNC_CODE_URL"):
        return given.rstrip("/")
    try:
        return f"http://127.0.0.1:{json.loads(layout().config.read_text())['http_port']}"
    except (OSError, ValueError, KeyError):
        return DEFAULT_SERVER


def current() -> Context:
    """The context of this call."""
    return Context(server(), SessionFile(os.environ))


def machine(json_flag: bool) -> bool:
    """Whether a program reads what we print."""
    return json_flag or not sys.stdout.isatty()


_FULL_ID = 36


def task_id(client: Client, given: str) -> str:
    """The whole id of the task whose id begins with `given`. Raises CliError where there is none, or more than one."""
    if len(given) == _FULL_ID:
        return given
    found = [task["id"] for task in client.pages("/v1/tasks", limit=100) if task["id"].startswith(given)]
    if len(found) != 1:
        raise CliError(
            f"{'No task begins' if not found else f'{len(found)} tasks begin'} with {given!r}.",
            "See: ./async-code task list",
            Exit.NOT_FOUND,
        )
    return str(found[0])


def named(client: Client, path: str, given: str, what: str) -> Json:
    """The item of a list with this id or name. Raises CliError."""
    found = [item for item in client.pages(path, limit=100) if given in {item["id"], item.get("name")}]
    if len(found) != 1:
        raise CliError(
            f"{'No' if not found else 'More than one'} {what} is called {given!r}.", f"See: ./async-code {what} list", Exit.NOT_FOUND
        )
    return found[0]
