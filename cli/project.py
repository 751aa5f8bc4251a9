"""`project` and `repository`: what tasks are made in and on."""

from shlex import quote
from typing import Annotated, Literal

import typer

from cli import agent, environment, printing
from cli.client import Json
from cli.context import JsonFlag, current, machine, named
from cli.examples import examples
from cli.exits import CliError, Exit
from cli.text import line
from cli.views import when

projects = typer.Typer(no_args_is_help=True, help="Projects: repositories, their policy, and the tasks on them.")
repositories = typer.Typer(no_args_is_help=True, help="Repositories of a project.")

ProjectOption = Annotated[str, typer.Option("--project", "-p", help="The project's name or id.")]


AllowOption = Annotated[
    str | None,
    typer.Option(help="Whose packages its sandboxes may read, comma-separated: pip, npm, cargo, go, debian; `none` for nobody's."),
]


def allowed(text: str) -> list[str]:
    """The list that `--allow` names. Which names there are is the server's to say."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    return [] if names == ["none"] else names


@projects.command("create", epilog=examples("project create web", 'project create web --policy ask --protect "deploy/**"'))
def create_project(
    name: Annotated[str, typer.Argument(help="What you call it.")],
    policy: Annotated[Literal["auto", "ask"], typer.Option(help="`auto` pushes a change at once, `ask` waits for you.")] = "auto",
    protect: Annotated[
        list[str] | None, typer.Option(help="A path pattern whose changes wait for you, beside what CI runs; may be repeated.")
    ] = None,
    allow: AllowOption = None,
    json_flag: JsonFlag = False,
) -> None:
    """Make a project."""
    wanted: Json = {"name": name, "publish_policy": policy, "protected_paths": protect or []}
    made = current().client.post("/v1/projects", wanted | ({"allow_packages": allowed(allow)} if allow is not None else {}))
    if machine(json_flag):
        printing.document(made)
    else:
        printing.say(f"Project {line(made['name'])} is there: {line(made['id'])}")
        printing.say(f"Next: ./async-code repository add https://… --project {quote(line(made['name']))}")


@projects.command("set", epilog=examples("project set web --allow pip,npm", "project set web --allow none"))
def set_project(
    name: Annotated[str, typer.Argument(help="Its name or id.")],
    allow: AllowOption = None,
    json_flag: JsonFlag = False,
) -> None:
    """Change what a project's tasks are allowed, from the next one on."""
    client = current().client
    project = named(client, "/v1/projects", name, "project")
    changed = client.patch(f"/v1/projects/{project['id']}", {} if allow is None else {"allow_packages": allowed(allow)})
    if machine(json_flag):
        printing.document(changed)
    else:
        packages = ", ".join(line(ecosystem) for ecosystem in changed["allow_packages"]) or "nobody's"
        printing.say(f"Project {line(changed['name'])}: its sandboxes may read packages of: {packages}")


@projects.command("list", epilog=examples("project list", "project list --json"))
def list_projects(json_flag: JsonFlag = False) -> None:
    """List your projects, newest first."""
    found = list(current().client.pages("/v1/projects", limit=100))
    if machine(json_flag):
        printing.document(found)
    elif not found:
        printing.say("No projects yet. Make one: ./async-code project create NAME")
    else:
        rows = ([item["name"], item["publish_policy"], when(item["created_at"]), item["id"]] for item in found)
        printing.table(["name", "policy", "created", "id"], rows)


@projects.command("budget", epilog=examples("project budget web", "project budget web 50", "project budget web none"))
def budget(
    project: Annotated[str, typer.Argument(help="Its name or id; `all` for all your projects together.")],
    usd: Annotated[str | None, typer.Argument(metavar="[USD]", help="What to set; `none` for the operator's default.")] = None,
    json_flag: JsonFlag = False,
) -> None:
    """Show or set what a calendar month (UTC) may cost. Tasks that wait for it are looked at again when it is set."""
    client = current().client
    path = "/v1/budget" if project == "all" else f"/v1/projects/{named(client, '/v1/projects', project, 'project')['id']}/budget"
    answer = client.get(path) if usd is None else client.put(path, {"monthly_usd": _usd(usd)})
    if machine(json_flag):
        printing.document(answer)
    elif answer["monthly_usd"] is None:
        printing.say("No budget is set; the operator's default holds, if there is one.")
    else:
        printing.say(f"${answer['monthly_usd']:g} per calendar month (UTC).")


def _usd(given: str) -> float | None:
    try:
        return None if given == "none" else float(given)
    except ValueError as error:
        raise CliError(f"{given!r} is no amount.", "As: ./async-code project budget web 50", Exit.USAGE) from error


projects.command("agent", epilog=examples("project agent web claude-code --effort high", "project agent web codex --model gpt-5.5"))(
    agent.set_defaults
)


projects.command(
    "environment",
    epilog=examples(
        "project environment web --script setup.sh --lock package.json --lock package-lock.json --directory node_modules",
        "project environment web",
        "project environment web --none",
    ),
)(environment.environment)


@repositories.command(
    "add",
    epilog=examples(
        "repository add https://example.com/team/web.git --project web",
        "repository add https://example.com/team/web.git --project web --base develop",
    ),
)
def add_repository(
    url: Annotated[str, typer.Argument(help="Its address, without a token in it.")],
    project: ProjectOption,
    base: Annotated[str | None, typer.Option(help="The branch tasks start from; the remote's default without it.")] = None,
    json_flag: JsonFlag = False,
) -> None:
    """Add a repository to a project."""
    client = current().client
    owner = named(client, "/v1/projects", project, "project")
    made = client.post(f"/v1/projects/{owner['id']}/repositories", {"url": url, "default_base_ref": base})
    if machine(json_flag):
        printing.document(made)
    else:
        printing.say(f"Repository {line(made['url'])} is in {line(owner['name'])}: {line(made['id'])}")


@repositories.command("list", epilog=examples("repository list --project web"))
def list_repositories(project: ProjectOption, json_flag: JsonFlag = False) -> None:
    """List a project's repositories."""
    client = current().client
    owner: Json = named(client, "/v1/projects", project, "project")
    found = list(client.pages(f"/v1/projects/{owner['id']}/repositories", limit=100))
    if machine(json_flag):
        printing.document(found)
    elif not found:
        printing.say(f"No repositories yet. Add one: ./async-code repository add https://… --project {quote(line(owner['name']))}")
    else:
        rows = ([item["url"], item["default_base_ref"] or "(the remote's default)", item["id"]] for item in found)
        printing.table(["url", "base", "id"], rows)
