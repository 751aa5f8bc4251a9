"""`login`, `logout`, `whoami`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli import printing
from cli.connection import is_here
from cli.context import JsonFlag, current, layout, machine, own_server
from cli.examples import examples
from cli.exits import CliError, Exit
from cli.text import line
from cli.views import when

app = typer.Typer()

MAX_SECRET_BYTES = 64 * 1024


@app.command(epilog=examples("login", "login --email me@example.com", "login --email me@example.com --password-file - < password.txt"))
def login(
    email: Annotated[str | None, typer.Option(help="Your address. Without it: the user that this machine's stack made for you.")] = None,
    password_file: Annotated[
        Path | None, typer.Option(help="A file with the password; `-` for standard input. Asked for without it.", allow_dash=True)
    ] = None,
    json_flag: JsonFlag = False,
) -> None:
    """Sign in. The session is kept in a file of yours alone, and renews itself."""
    context = current()
    if email is None and context.server != own_server():
        raise CliError(f"Say who you are at {context.server}.", "./async-code login --email you@example.com", Exit.USAGE)
    if context.server.startswith("http://") and not is_here(context.server):
        printing.note(("The password goes over the network unencrypted: use an https:// address.", "yellow"))
    address, password = generated_user() if email is None else (email, secret(password_file, "Password"))
    session = context.client.sign_in(address, password)
    if machine(json_flag):
        printing.document({"server": session.server, "email": session.email})
    else:
        printing.say(f"Signed in at {session.server} as {line(session.email)}.")


@app.command(epilog=examples("logout"))
def logout(json_flag: JsonFlag = False) -> None:
    """Sign out: forget the session for this server and end it there."""
    context = current()
    ended = context.client.sign_out()
    if machine(json_flag):
        printing.document({"server": context.server, "signed_out": ended is not None, "ended_at_server": bool(ended)})
    elif ended is None:
        printing.say(f"There was no session at {context.server}.")
    else:
        printing.say("Signed out." if ended else "Signed out here; the server could not be told, so the session ends there by itself.")


@app.command(epilog=examples("whoami"))
def whoami(json_flag: JsonFlag = False) -> None:
    """Show who is signed in, or what the token in ASYNC_CODE_TOKEN may do, as the server sees it."""
    context = current()
    me = context.client.get("/v1/me")
    if machine(json_flag):
        printing.document({"server": context.server, **me})
        return
    printing.say(f"{line(str(me.get('email') or me['id']))} at {context.server}")
    if me.get("token_id"):
        may = line(", ".join(me.get("scopes") or []))
        printing.say(f"by the API token {line(me['token_id'])}: {may}; until {when(me['expires_at'])}")


def generated_user() -> tuple[str, str]:
    """Address and password of the user that the first start of this machine's stack made. Raises CliError."""
    path = layout().sign_in
    try:
        stored = json.loads(path.read_text())
        return str(stored["email"]), str(stored["password"])
    except PermissionError as error:
        raise CliError(f"{path} is not yours to read.", "Name your own address: ./async-code login --email you@example.com") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        advice = "Start the stack (./async-code up), or: ./async-code login --email you@example.com"
        raise CliError("There is no generated user to sign in as here.", advice, Exit.USAGE) from error


def secret(file: Path | None, what: str) -> str:
    """A secret from a file, standard input or a prompt that shows nothing: never from the command line. Raises CliError."""
    if file is None:
        if not sys.stdin.isatty():
            raise CliError(
                f"Nobody is there to be asked for the {what.lower()}.", "Name a file that holds it, or - for standard input.", Exit.USAGE
            )
        return str(typer.prompt(what, hide_input=True, err=True))
    try:
        text = sys.stdin.read(MAX_SECRET_BYTES) if str(file) == "-" else _read(file)
    except UnicodeDecodeError as error:
        raise CliError(f"The {what.lower()} is not UTF-8 text.", "Check the file.", Exit.USAGE) from error
    return text.rstrip("\r\n")


def _read(file: Path) -> str:
    with file.open(encoding="utf-8") as opened:
        return opened.read(MAX_SECRET_BYTES)
