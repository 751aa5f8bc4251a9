"""`credential`: git tokens and model keys. A value comes from a file or a prompt, goes to the server, and is never shown or kept."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli import printing
from cli.account import secret
from cli.context import JsonFlag, by_beginning, current, machine, named
from cli.examples import examples
from cli.text import line
from cli.views import when

app = typer.Typer(no_args_is_help=True, help="Git tokens and model keys: written once, never shown again.")


@app.command(
    "add",
    epilog=examples(
        "credential add git_token --host example.com",
        "credential add model_key --vendor anthropic --file key.txt",
        "credential add model_key --vendor openai --file - < key.txt",
        "credential add model_key --vendor openai --base-url http://10.0.0.5:8000 --file key.txt",
        "credential add git_token --host example.com --project web --file - < token.txt",
    ),
)
def add_credential(
    purpose: Annotated[Literal["git_token", "model_key"], typer.Argument(help="What it is for: `git_token` or `model_key`.")],
    file: Annotated[
        Path | None, typer.Option(help="A file that holds the value; `-` for standard input. Asked for without it.", allow_dash=True)
    ] = None,
    host: Annotated[str | None, typer.Option(help="For a git token: the host it is for.")] = None,
    vendor: Annotated[str | None, typer.Option(help="For a model key: whose it is, `anthropic` or `openai`.")] = None,
    base_url: Annotated[
        str | None, typer.Option(help="For a model key: another address that speaks as the vendor's API does, without `/v1`.")
    ] = None,
    project: Annotated[str | None, typer.Option("--project", "-p", help="Use it for this project alone (name or id).")] = None,
    label: Annotated[str | None, typer.Option(help="For you to tell it apart.")] = None,
    json_flag: JsonFlag = False,
) -> None:
    """Store a git token or a model key. It is sealed at once for the one service that uses it; nobody can read it back."""
    client = current().client
    body = {"purpose": purpose, "host": host, "vendor": vendor, "base_url": base_url, "label": label}
    if project is not None:
        body["project_id"] = named(client, "/v1/projects", project, "project")["id"]
    body["value"] = secret(file, "Value").strip()
    made = client.post("/v1/credentials", {name: given for name, given in body.items() if given is not None})
    if machine(json_flag):
        printing.document(made)
    else:
        printing.say(f"The {line(made['purpose'].replace('_', ' '))} is stored: {line(made['id'])}")


@app.command("list", epilog=examples("credential list"))
def list_credentials(json_flag: JsonFlag = False) -> None:
    """List what is stored, without values, newest first."""
    found = list(current().client.pages("/v1/credentials", limit=100))
    if machine(json_flag):
        printing.document(found)
    elif not found:
        printing.say("Nothing is stored yet. Store a key: ./async-code credential add model_key --vendor anthropic")
    else:
        rows = (
            [
                item["purpose"],
                item.get("host") or item.get("base_url") or item.get("vendor"),
                item.get("label"),
                when(item["created_at"]),
                item["id"],
            ]
            for item in found
        )
        printing.table(["purpose", "for", "label", "stored", "id"], rows)


@app.command("delete", epilog=examples("credential delete 3f2a"))
def delete_credential(
    credential: Annotated[str, typer.Argument(help="Its id, or enough of its beginning.")], json_flag: JsonFlag = False
) -> None:
    """Delete a credential; nothing can open it again, also for tasks on their way."""
    client = current().client
    whole = by_beginning(client, "/v1/credentials", credential, "credential")
    client.delete(f"/v1/credentials/{whole}")
    if machine(json_flag):
        printing.document({"deleted": whole})
    else:
        printing.say(f"Credential {whole} is deleted.")
