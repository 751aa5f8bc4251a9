"""`agents` and `project agent`: which agents there are, what each can be told, and how it works in a project."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from cli import printing
from cli.context import JsonFlag, current, machine, named
from cli.examples import examples
from cli.exits import CliError, Exit
from cli.text import line

app = typer.Typer()

MAX_FILE_CHARS = 1_000_000
"""What is read of a file; the server's own limit is lower and says so."""

EffortOption = Annotated[str | None, typer.Option("--effort", help="How hard the model thinks; `agents` lists what an agent knows.")]
TurnsOption = Annotated[int | None, typer.Option("--max-turns", min=1, help="How many answers of the model a run may take.")]
SystemPromptOption = Annotated[
    Path | None, typer.Option("--append-system-prompt-file", help="A file whose text is added to the agent's system prompt.")
]
ToolsOption = Annotated[
    list[str] | None, typer.Option("--allow-tools", metavar="NAME[,NAME…]", help="The only tools the model is offered; may be repeated.")
]


def options(effort: str | None, system_prompt: Path | None, tools: list[str] | None) -> dict[str, Any]:
    """The options that were given, as the API takes them. Raises CliError."""
    given = {
        "effort": effort,
        "append_system_prompt": None if system_prompt is None else _text(system_prompt),
        "allowed_tools": None if tools is None else [name for given in tools for name in given.split(",") if name],
    }
    return {name: value for name, value in given.items() if value is not None}


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(MAX_FILE_CHARS)
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"{path} cannot be read as text.", "Name a file in UTF-8.", Exit.USAGE) from error


@app.command("agents", epilog=examples("agents", "agents --json"))
def agents(json_flag: JsonFlag = False) -> None:
    """List the agents a task can name, and the options each one knows."""
    found = current().client.get("/v1/agents")["items"]
    if machine(json_flag):
        printing.document(found)
        return
    rows = (
        [item["name"], item["vendor"] or "-", ", ".join(item["options"]) or "-", ", ".join(item["efforts"]) or "-", _tools(item["tools"])]
        for item in found
    )
    printing.table(["agent", "key of", "options", "effort", "tools"], rows)


def _tools(names: list[str]) -> str:
    return ", ".join(names) or "-"


def set_defaults(
    project: Annotated[str, typer.Argument(help="The project's name or id.")],
    agent: Annotated[str, typer.Argument(help="The agent, as `agents` lists it.")],
    model: Annotated[str | None, typer.Option(help="The model; the agent's own without it.")] = None,
    effort: EffortOption = None,
    max_turns: TurnsOption = None,
    append_system_prompt_file: SystemPromptOption = None,
    allow_tools: ToolsOption = None,
    json_flag: JsonFlag = False,
) -> None:
    """Say how an agent works in a project where a task does not say. It replaces what was said for that agent before."""
    client = current().client
    owner = named(client, "/v1/projects", project, "project")
    given = {"model": model, "max_turns": max_turns} | options(effort, append_system_prompt_file, allow_tools)
    body = {name: value for name, value in given.items() if value is not None}
    made = client.put(f"/v1/projects/{owner['id']}/agent-defaults/{quote(agent, safe='')}", body)
    if machine(json_flag):
        printing.document(made)
    else:
        printing.say(f"{line(agent)} works in {line(made['name'])} by: {line(', '.join(body) or 'its own')}")
