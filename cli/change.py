"""`task diff | apply`: look at what a task made, and take it into a checkout of your own."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli import checkout, printing, views
from cli.client import Client
from cli.context import JsonFlag, TaskArgument, current, machine, task_id
from cli.examples import examples
from cli.exits import CliError, Exit
from cli.text import count, line

app = typer.Typer()


@app.command(epilog=examples("task diff 3f2a", "task diff 3f2a > change.patch", "task diff 3f2a --json"))
def diff(task: TaskArgument, json_flag: JsonFlag = False) -> None:
    """Show the change as a patch: in colours on a terminal, its exact bytes elsewhere. As JSON: what changed, file by file."""
    client = current().client
    whole = task_id(client, task)
    if json_flag:
        printing.document(client.get(f"/v1/tasks/{whole}/changes"))
        return
    patch = _patch(client, whole)
    if sys.stdout.isatty():
        views.diff(patch)
    else:
        sys.stdout.buffer.write(patch)
        sys.stdout.buffer.flush()


@app.command(epilog=examples("task apply 3f2a", "task apply 3f2a --directory ~/src/web", "task apply 3f2a --merge"))
def apply(
    task: TaskArgument,
    directory: Annotated[
        Path, typer.Option("--directory", "-C", help="A checkout of the repository.", file_okay=False, exists=True)
    ] = Path(),
    merge: Annotated[bool, typer.Option("--merge", help="Where it conflicts with your version, mark that in the files.")] = False,
    json_flag: JsonFlag = False,
) -> None:
    """Apply the change to your own checkout, all of it or nothing. It is staged, not committed; your other changes stay."""
    client = current().client
    whole = task_id(client, task)
    patch = _patch(client, whole)
    if not patch:
        raise CliError("The task changed nothing.", "See: ./async-code task show", Exit.NOT_FOUND)
    paths = checkout.apply(directory, patch, merge=merge)
    if machine(json_flag):
        printing.document({"task": whole, "directory": str(directory.absolute()), "files": paths})
    else:
        printing.say(f"Applied to {line(str(directory.absolute()))}: {count(len(paths), 'file')}. Look at it with: git diff --cached")


def _patch(client: Client, whole: str) -> bytes:
    return client.text(f"/v1/tasks/{whole}/patch")
