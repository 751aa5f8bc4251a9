"""`token`: API tokens for machines. One is shown when it is made, and never again, nor kept here."""

import re
from typing import Annotated

import typer

from cli import printing
from cli.context import JsonFlag, by_beginning, current, machine
from cli.examples import examples
from cli.exits import CliError, Exit
from cli.text import line
from cli.views import when

app = typer.Typer(no_args_is_help=True, help="API tokens: what a machine uses the API with, in your name.")

SCOPES = ("tasks:read", "tasks:write", "projects:read", "projects:write", "audit:read", "admin")
"""As the API names them. Written out, as `cli.exits` says of a task's states."""

_SECONDS = {"m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"([1-9][0-9]{0,6})([mhd])")


@app.command(
    "create",
    epilog=examples(
        'token create --name "nightly build" --scope tasks:read --scope tasks:write',
        "token create --name ci --scope tasks:write,tasks:read --expires 12h",
        "token create --name auditor --scope audit:read --expires 365d",
    ),
)
def create_token(
    name: Annotated[str, typer.Option(help="For you to tell it apart.")],
    scope: Annotated[list[str], typer.Option(help=f"What it may do: {', '.join(SCOPES)}. More than once, or with commas.")],
    expires: Annotated[str, typer.Option(help="How long it is good for: minutes, hours or days, as `30m`, `12h`, `90d`.")] = "90d",
    json_flag: JsonFlag = False,
) -> None:
    """Make an API token and show it, this once. It does what its scopes say and nothing else; no scope includes another.

    No token approves or publishes a change, nor makes or revokes tokens: that is for people.
    """
    body = {"name": name, "scopes": scopes(scope), "expires_in_seconds": seconds(expires)}
    made = current().client.post("/v1/tokens", body)
    if machine(json_flag):
        printing.document(made)
        return
    printing.say(line(made["token"]))
    printing.note(f"Keep it now: it is not shown again. Good until {when(made['expires_at'])} for {line(', '.join(made['scopes']))}.")
    printing.note("A machine has it in its environment: ASYNC_CODE_TOKEN")


@app.command("list", epilog=examples("token list"))
def list_tokens(json_flag: JsonFlag = False) -> None:
    """List your tokens without themselves, newest first; also those that ended, for a month."""
    found = list(current().client.pages("/v1/tokens", limit=100))
    if machine(json_flag):
        printing.document(found)
    elif not found:
        printing.say("There are no tokens yet. Make one: ./async-code token create --name ci --scope tasks:read")
    else:
        rows = (
            [
                item["name"],
                f"{item['prefix']}…",
                ", ".join(item["scopes"]),
                f"revoked {when(item['revoked_at'])}" if item.get("revoked_at") else when(item["expires_at"]),
                when(item["last_used_at"]) if item.get("last_used_at") else "never",
                item["id"],
            ]
            for item in found
        )
        printing.table(["name", "token", "scopes", "expires", "last used", "id"], rows)


@app.command("revoke", epilog=examples("token revoke 3f2a"))
def revoke_token(
    which: Annotated[str, typer.Argument(help="Its id, or enough of its beginning; never the token itself.")], json_flag: JsonFlag = False
) -> None:
    """Revoke a token: from the next request on it opens nothing. There is no way back."""
    client = current().client
    if which.strip().startswith("acp_"):
        raise CliError(
            "A token is named by its id: a command line is no place for the token itself.", "See: ./async-code token list", Exit.USAGE
        )
    whole = by_beginning(client, "/v1/tokens", which, "token")
    client.delete(f"/v1/tokens/{whole}")
    if machine(json_flag):
        printing.document({"revoked": whole})
    else:
        printing.say(f"Token {whole} is revoked.")


def seconds(duration: str) -> int:
    """A duration as `90d`. Raises CliError; how long is too long the server says."""
    parts = _DURATION.fullmatch(duration.strip())
    if parts is None:
        raise CliError(f"{duration!r} is no duration.", "Name minutes, hours or days: --expires 30m, 12h, 90d", Exit.USAGE)
    return int(parts[1]) * _SECONDS[parts[2]]


def scopes(given: list[str]) -> list[str]:
    """The scopes that were named. Raises CliError for one that there is not."""
    named = [name.strip() for text in given for name in text.split(",") if name.strip()]
    if unknown := [name for name in named if name not in SCOPES]:
        raise CliError(f"There is no scope {unknown[0]!r}.", f"There are: {', '.join(SCOPES)}", Exit.USAGE)
    return named
