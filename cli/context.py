"""What every command needs: which server, which user, and whether a person or a program reads."""

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from cli.client import Client, Json
from cli.exits import CliError, Exit
from cli.sessions import SessionFile
from deploy.embedded import state

DEFAULT_SERVER = f"http://127.0.0.1:{state.HTTP_PORT}"

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON, also on a terminal.")]
TaskArgument = Annotated[str, typer.Argument(help="A task's id, or enough of its beginning.")]

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BEGINNING = re.compile(r"[0-9a-f][0-9a-f-]{0,35}")
_TOKEN = re.compile(r"[!-~]{1,16384}")


@dataclass(frozen=True)
class Context:
    """Built once for each call."""

    server: str
    sessions: SessionFile
    token: str | None = None

    @cached_property
    def client(self) -> Client:
        """The API, as the signed-in user; `ASYNC_CODE_TOKEN` goes before a stored session."""
        return Client(self.server, self.sessions, token=self.token)


def layout() -> state.Layout:
    """Where this machine's embedded deployment keeps its state."""
    checkout = Path(__file__).resolve().parents[1]
    return state.Layout(state.default_root(os.environ, root=os.geteuid() == 0, checkout=checkout))


def own_server() -> str:
    """The address of this machine's embedded deployment, started or not."""
    try:
        return f"http://127.0.0.1:{json.loads(layout().config.read_text())['http_port']}"
    except (OSError, ValueError, KeyError, TypeError):
        return DEFAULT_SERVER


def server(environment: Mapping[str, str]) -> str:
    """`ASYNC_CODE_URL`, else the embedded deployment of this machine. Raises CliError."""
    given = environment.get("ASYNC_CODE_URL", "").strip().rstrip("/")
    if not given:
        return own_server()
    try:
        parts = urlsplit(given)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and not (parts.query or parts.fragment)
    except ValueError:
        good = False
    if not good or "@" in given or not given.isascii() or not given.isprintable() or " " in given:
        raise CliError("ASYNC_CODE_URL is no address of a server.", "It looks like https://async-code.example.com", Exit.USAGE)
    return given


def current() -> Context:
    """The context of this call. Raises CliError for variables that make no sense."""
    token = os.environ.get("ASYNC_CODE_TOKEN", "").strip()
    if token and not _TOKEN.fullmatch(token):
        raise CliError("ASYNC_CODE_TOKEN is no access token.", "Unset it, and run: ./async-code login", Exit.USAGE)
    return Context(server(os.environ), SessionFile(os.environ), token or None)


def machine(json_flag: bool) -> bool:
    """Whether a program reads what we print."""
    return json_flag or not sys.stdout.isatty()


def task_id(client: Client, given: str) -> str:
    """The whole id of the task whose id begins with `given`. Raises CliError where there is none, or more than one."""
    return by_beginning(client, "/v1/tasks", given, "task")


def by_beginning(client: Client, path: str, given: str, what: str) -> str:
    """The whole id of the one item of a list whose id begins with `given`. Raises CliError."""
    wanted = given.strip().lower()
    if _ID.fullmatch(wanted):
        return wanted
    found: list[str] = []
    if _BEGINNING.fullmatch(wanted):
        found = [item["id"] for item in client.pages(path, limit=100) if str(item["id"]).startswith(wanted)]
    if len(found) == 1:
        return found[0]
    count = f"{len(found)} {what}s begin" if found else f"No {what} of yours begins"
    raise CliError(f"{count} with {given!r}.", f"See: ./async-code {what} list", Exit.NOT_FOUND)


def named(client: Client, path: str, given: str, what: str, field: str = "name") -> Json:
    """The item of a list with this id or name. Raises CliError."""
    found = [item for item in client.pages(path, limit=100) if given in {item["id"], item.get(field)}]
    if len(found) == 1:
        return found[0]
    count = f"{len(found)} of the {what} list are" if found else f"No {what} of yours is"
    advice = "Name it by its id; see: " if found else "See: "
    raise CliError(f"{count} called {given!r}.", f"{advice}./async-code {what} list", Exit.NOT_FOUND)
