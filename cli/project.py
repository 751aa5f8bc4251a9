"""`project`, `repository`, `credential`: what tasks are made in, on and with."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli import printing
from cli.context import JsonFlag, current, machine, named

projects = typer.Typer(no_args_is_help=True, help="Projects: repositories, their policy, and the tasks on them.")
repositories = typer.Typer(no_args_is_help=True, help="Repositories of a project.")
credentials = typer.Typer(no_args_is_help=True, help="Git tokens and model keys: written once, never shown again.")

ProjectOption = Annotated[str, typer.Option("--project", "-p", help="The project's name or id.")]


@projects.command("create")
def create_project(
    name: str,
    policy: Annotated[str, typer.Option(help="`auto` pushes a change at once, `ask` waits for you.")] = "auto",
    protect: Annotated[list[str] | None, typer.Option(help="A path pattern whose changes wait for you; may be repeated.")] = None,
    json_flag: JsonFlag = False,
) -> None:
    """Make a project.

    Example: `./async-code project create web --policy ask`
    """
    made = current().client.post("/v1/projects", {"name": name, "publish_policy": policy, "protected_paths": protect or []})
    _made(made, "Project", made["name"], json_flag=json_flag)


@projects.command("list")
def list_projects(json_flag: JsonFlag = False) -> None:
    """List your projects."""
    found = list(current().client.pages("/v1/projects"))
    if machine(json_flag):
        printing.document(found)
    else:
        printing.table(["name", "policy", "id"], ([item["name"], item["publish_policy"], item["id"]] for item in found))


@repositories.command("add")
def add_repository(
    url: str,
    project: ProjectOption,
    base: Annotated[str | None, typer.Option(help="The branch tasks start from; the remote's default without it.")] = None,
    json_flag: JsonFlag = False,
) -> None:
    """Add a repository to a project.

    Example: `./async-code repository add https://example.com/team/web.git --project web`
    """
    client = current().client
    owner = named(client, "/v1/projects", project, "project")
    made = client.post(f"/v1/projects/{owner['id']}/repositories", {"url": url, "default_base_ref": base})
    _made(made, "Repository", made["url"], json_flag=json_flag)


@repositories.command("list")
def list_repositories(project: ProjectOption, json_flag: JsonFlag = False) -> None:
    """List a project's repositories."""
    client = current().client
    owner = named(client, "/v1/projects", project, "project")
    found = list(client.pages(f"/v1/projects/{owner['id']}/repositories"))
    if machine(json_flag):
        printing.document(found)
    else:
        printing.table(["url", "base", "id"], ([item["url"], item["default_base_ref"] or "(default)", item["id"]] for item in found))


@credentials.command("add")
def add_credential(
    purpose: Annotated[str, typer.Argument(help="`git_token` or `model_key`.")],
    file: Annotated[
        Path | None, typer.Option(help="A file that holds the value; `-` for standard input. Asked for without it.", allow_dash=True)
    ] = None,
    host: Annotated[str | None, typer.Option(help="For a git token: the host it is for.")] = None,
    vendor: Annotated[str | None, typer.Option(help="For a model key: whose it is (`anthropic`).")] = None,
    json_flag: JsonFlag = False,
) -> None:
    """Store a git token or a model key. Its value is sealed at once for the one service that uses it; nobody can read it back.

    Examples: `./async-code credential add git_token --host example.com` ·
    `./async-code credential add model_key --vendor anthropic --file key.txt`
    """
    if file is None:
        value = str(typer.prompt("Value", hide_input=True, err=True))
    else:
        value = (sys.stdin.read() if str(file) == "-" else file.read_text()).strip()
    body = {"purpose": purpose, "value": value, "host": host, "vendor": vendor}
    made = current().client.post("/v1/credentials", {name: given for name, given in body.items() if given is not None})
    _made(made, "Credential", made["purpose"], json_flag=json_flag)


@credentials.command("list")
def list_credentials(json_flag: JsonFlag = False) -> None:
    """List what is stored, without values."""
    found = list(current().client.pages("/v1/credentials"))
    if machine(json_flag):
        printing.document(found)
    else:
        printing.table(
            ["purpose", "for", "id"], ([item["purpose"], item.get("host") or item.get("vendor") or "", item["id"]] for item in found)
        )


@credentials.command("delete")
def delete_credential(credential_id: str) -> None:
    """Delete a credential; nothing can open it again."""
    current().client.delete(f"/v1/credentials/{credential_id}")
    printing.err.print("Deleted.")


def _made(made: dict[str, object], what: str, name: object, *, json_flag: bool) -> None:
    if machine(json_flag):
        printing.document(made)
    else:
        printing.out.print(f"{what} {printing.shown(name)} is there: {made['id']}")
