"""`login`, `logout`, `whoami`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli import printing
from cli.context import JsonFlag, current, layout, machine
from cli.exits import CliError, Exit

app = typer.Typer()


@app.command()
def login(
    email: Annotated[str | None, typer.Option(help="Your address; the generated user of this machine's stack without it.")] = None,
    password_file: Annotated[Path | None, typer.Option(help="A file with the password; `-` for standard input.", allow_dash=True)] = None,
    json_flag: JsonFlag = False,
) -> None:
    """Sign in; the session is kept in a file of yours alone.

    Examples: `./async-code login` (on the machine that runs the stack) · `./async-code login --email me@example.com`
    """
    context = current()
    address, password = generated_user() if email is None else (email, _password(password_file))
    session = context.client.sign_in(address, password)
    if machine(json_flag):
        printing.document({"server": session.server, "email": session.email})
    else:
        printing.out.print(f"Signed in at {session.server} as {printing.shown(session.email)}.")


@app.command()
def logout() -> None:
    """Forget the session for this server."""
    context = current()
    found = context.sessions.remove(context.server)
    printing.err.print("Signed out." if found else "There was no session.")


@app.command()
def whoami(json_flag: JsonFlag = False) -> None:
    """Show who is signed in, as the server sees it."""
    me = current().client.get("/v1/me")
    if machine(json_flag):
        printing.document(me)
    else:
        printing.out.print(printing.shown(me.get("email") or me["id"]))


def generated_user() -> tuple[str, str]:
    """Address and password of the user that the first start of this machine's stack made. Raises CliError."""
    path = layout().sign_in
    try:
        stored = json.loads(path.read_text())
    except OSError as error:
        raise CliError(
            "There is no generated user to read here.", "Name yours: ./async-code login --email you@example.com", Exit.USAGE
        ) from error
    return str(stored["email"]), str(stored["password"])


def _password(file: Path | None) -> str:
    if file is None:
        return str(typer.prompt("Password", hide_input=True, err=True))
    return (sys.stdin.read() if str(file) == "-" else file.read_text()).rstrip("\r\n")
