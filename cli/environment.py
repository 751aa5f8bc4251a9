"""`project environment`: what the sandboxes of a project's tasks hold beside the repository."""

from pathlib import Path
from typing import Annotated

import typer

from cli import printing
from cli.agent import MAX_FILE_CHARS
from cli.client import Json
from cli.context import JsonFlag, current, machine, named
from cli.exits import CliError, Exit
from cli.text import block, count, line

_SHOWN_LINES = 40


def environment(
    project: Annotated[str, typer.Argument(help="The project's name or id.")],
    script: Annotated[Path | None, typer.Option(help="A file with the set-up script, for bash.")] = None,
    directory: Annotated[
        list[str] | None, typer.Option("--directory", "-d", help="What to keep of what it makes, relative to the repository; repeatable.")
    ] = None,
    lock: Annotated[
        list[str] | None, typer.Option("--lock", "-l", metavar="PATTERN", help="A file it sees and depends on; repeatable.")
    ] = None,
    image: Annotated[str | None, typer.Option(help="An image in place of the agent's.")] = None,
    timeout: Annotated[int | None, typer.Option(help="How many seconds the script may take.")] = None,
    none: Annotated[bool, typer.Option("--none", help="The repository alone, from the next task on.")] = False,
    json_flag: JsonFlag = False,
) -> None:
    """Say what a project's sandboxes hold beside the repository, in the place of what was said before; without options, show it."""
    client = current().client
    owner = named(client, "/v1/projects", project, "project")
    path = f"/v1/projects/{owner['id']}/environment"
    wanted: Json = {"image": image, "directories": directory, "lock_files": lock, "timeout_seconds": timeout}
    given = {name: value for name, value in wanted.items() if value is not None}
    if script is not None:
        given["setup_script"] = _text(script)
    if none and given:
        raise CliError("--none stands alone.", "As: ./async-code project environment web --none", Exit.USAGE)
    if none:
        client.delete(path)
        shown: Json | None = None
    else:
        shown = client.put(path, given) if given else client.get(path)
    if machine(json_flag):
        printing.document(shown)
    else:
        _show(str(owner["name"]), shown)


def _show(project: str, shown: Json | None) -> None:
    if shown is None:
        printing.say(f"The sandboxes of {line(project)} hold the repository alone.")
        return
    printing.say((line(project), "bold"), "  ", line(f"version {str(shown['digest'])[:12]}"))
    if shown["image"]:
        printing.say("  image     ", line(str(shown["image"])))
    if shown["setup_script"]:
        printing.say("  keeps     ", line(", ".join(shown["directories"])))
        printing.say("  sees      ", line(", ".join(shown["lock_files"]) or "no file of the repository"))
        printing.say("  takes     ", f"{count(int(shown['timeout_seconds']), 'second')} at most")
        printing.indented(block(str(shown["setup_script"]).rstrip("\n"), lines=_SHOWN_LINES, columns=200), "dim", by=4)


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(MAX_FILE_CHARS)
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"{path} cannot be read as text.", "Name a file in UTF-8.", Exit.USAGE) from error
