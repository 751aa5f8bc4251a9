"""`task diff | apply | cancel | approve | reject`: look at what a task made, take it or leave it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli import checkout, printing, views
from cli.client import Client, Json
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


@app.command(epilog=examples("task cancel 3f2a"))
def cancel(task: TaskArgument, json_flag: JsonFlag = False) -> None:
    """Stop a task, wherever it is. What it had made is kept."""
    client = current().client
    _act(client, task_id(client, task), "cancel", {}, "is being cancelled", json_flag=json_flag)


@app.command(epilog=examples("task approve 3f2a", "task approve 3f2a --tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904"))
def approve(
    task: TaskArgument,
    tree: Annotated[str | None, typer.Option(help="Only if the change is still this tree, as `task show --json` gives it.")] = None,
    json_flag: JsonFlag = False,
) -> None:
    """Let the change that waits be pushed: exactly the tree that is shown, no other."""
    client = current().client
    whole = task_id(client, task)
    view = client.get(f"/v1/tasks/{whole}")
    if view.get("state") != "awaiting_approval" or not view.get("tree_sha"):
        said = line(str(view.get("state")).replace("_", " "))
        raise CliError(
            f"The task waits for nobody's approval: its state is {said}.", f"See: ./async-code task show {whole[:8]}", Exit.REFUSED
        )
    _act(client, whole, "approve", {"tree_sha": tree or view["tree_sha"]}, "is approved: its branch is being pushed", json_flag=json_flag)


@app.command(epilog=examples("task reject 3f2a"))
def reject(task: TaskArgument, json_flag: JsonFlag = False) -> None:
    """Leave the change that waits unpublished: the task ends without a branch."""
    client = current().client
    _act(client, task_id(client, task), "reject", {}, "is rejected", json_flag=json_flag)


def _patch(client: Client, whole: str) -> bytes:
    return client.text(f"/v1/tasks/{whole}/patch")


def _act(client: Client, whole: str, action: str, body: Json, said: str, *, json_flag: bool) -> None:
    answer = client.post(f"/v1/tasks/{whole}/{action}", body)
    if machine(json_flag):
        printing.document(answer)
    else:
        printing.say(f"Task {whole[:8]} {said}.")
