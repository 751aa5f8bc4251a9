"""`task`: hand one in, follow it, look at what it made, take it or leave it."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli import printing, watching
from cli.client import Json
from cli.context import JsonFlag, TaskArgument, current, machine, named, task_id
from cli.exits import CliError, Exit
from shared.events.values import TaskState

app = typer.Typer(no_args_is_help=True, help="Tasks: prompts on their way to a branch.")

WatchFlag = Annotated[bool, typer.Option("--watch", "-w", help="Follow it until it ends; the exit code says how it did.")]


@app.command()
def create(
    prompt: Annotated[str, typer.Argument(help="What to do; `-` reads it from standard input.")],
    project: Annotated[str, typer.Option("--project", "-p", help="The project's name or id.")],
    agent: Annotated[str, typer.Option("--agent", "-a", help="`claude-code`, or `shell` (the prompt is a script).")] = "claude-code",
    model: Annotated[str | None, typer.Option(help="The model; the agent's default without it.")] = None,
    title: Annotated[str | None, typer.Option(help="The prompt's first line without it.")] = None,
    base: Annotated[str | None, typer.Option(help="The branch to start from.")] = None,
    watch: WatchFlag = False,
    json_flag: JsonFlag = False,
) -> None:
    """Hand in a task.

    Examples: `./async-code task create -p web "Fix the flaky login test" --watch` ·
    `./async-code task create -p web -a shell - < codemod.sh`
    """
    client = current().client
    owner = named(client, "/v1/projects", project, "project")
    text = sys.stdin.read() if prompt == "-" else prompt
    body = {"project_id": owner["id"], "prompt": text, "agent": agent, "model": model, "title": title, "base_ref": base}
    made = client.post("/v1/tasks", {name: value for name, value in body.items() if value is not None})
    if machine(json_flag):
        printing.document(made)
    else:
        printing.out.print(f"Task {made['id'][:8]} is submitted: {printing.shown(made['title'])}")
    if watch:
        raise typer.Exit(watching.follow(client, made["id"], as_json=machine(json_flag)))


@app.command("list")
def list_tasks(
    state: Annotated[TaskState | None, typer.Option(help="Only tasks in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many, newest first.")] = 20,
    json_flag: JsonFlag = False,
) -> None:
    """List your tasks, newest first."""
    found: list[Json] = current().client.get("/v1/tasks", state=state, limit=limit)["items"]
    if machine(json_flag):
        printing.document(found)
    else:
        rows = ([view["id"][:8], printing.state(view["state"]), view["agent"], view["title"], view["created_at"][:16]] for view in found)
        printing.table(["task", "state", "agent", "title", "created"], rows)


@app.command()
def show(task: TaskArgument, json_flag: JsonFlag = False) -> None:
    """Show one task: state, branch, cost, and why it failed if it did."""
    client = current().client
    view = client.get(f"/v1/tasks/{task_id(client, task)}")
    if machine(json_flag):
        printing.document(view)
    else:
        printing.task(view)


@app.command()
def watch(task: TaskArgument, json_flag: JsonFlag = False) -> None:
    """Follow a task live until it ends or waits for you; the exit code says how it did."""
    client = current().client
    raise typer.Exit(watching.follow(client, task_id(client, task), as_json=machine(json_flag)))


@app.command()
def diff(task: TaskArgument) -> None:
    """Show the change as a patch (colours on a terminal, exact bytes elsewhere)."""
    client = current().client
    patch = client.text(f"/v1/tasks/{task_id(client, task)}/patch")
    if sys.stdout.isatty():
        printing.diff(patch)
    else:
        sys.stdout.buffer.write(patch)
        sys.stdout.buffer.flush()


@app.command()
def apply(
    task: TaskArgument,
    directory: Annotated[
        Path, typer.Option("--directory", "-C", help="A checkout of the repository.", file_okay=False, exists=True)
    ] = Path(),
) -> None:
    """Apply the change to your own checkout, as `git apply --3way` does. Nothing is committed.

    Example: `./async-code task apply 3f2a -C ~/src/web`
    """
    client = current().client
    patch = client.text(f"/v1/tasks/{task_id(client, task)}/patch")
    if not patch:
        raise CliError("The task changed nothing.")
    # git refuses paths that leave the tree or lie in .git; options end before anything the task could have named.
    command = ["git", "apply", "--3way", "--whitespace=nowarn", "-"]
    done = subprocess.run(command, cwd=directory, input=patch, capture_output=True, check=False)
    if done.returncode != 0:
        raise CliError(
            printing.clean(done.stderr.decode(errors="replace")).strip(), "Commit or stash your own changes, or check out the task's base."
        )
    printing.err.print(f"Applied to {printing.shown(directory.resolve())}. Look at it with: git diff --cached")


@app.command()
def cancel(task: TaskArgument, json_flag: JsonFlag = False) -> None:
    """Stop a task, wherever it is. What it had made is kept."""
    _act(task, "cancel", {}, "is being cancelled", json_flag=json_flag)


@app.command()
def approve(task: TaskArgument, json_flag: JsonFlag = False) -> None:
    """Let the change that waits be pushed: exactly the tree you were shown, no other."""
    _decide(task, "approve", "is approved", json_flag=json_flag)


@app.command()
def reject(task: TaskArgument, json_flag: JsonFlag = False) -> None:
    """Leave the change that waits unpublished."""
    _act(task, "reject", {}, "is rejected", json_flag=json_flag)


def _decide(task: str, action: str, said: str, *, json_flag: bool) -> None:
    client = current().client
    view = client.get(f"/v1/tasks/{task_id(client, task)}")
    tree = view.get("tree_sha")
    if view["state"] != TaskState.AWAITING_APPROVAL or tree is None:
        raise CliError(f"The task is {view['state']}, it waits for nobody's approval.", code=Exit.REFUSED)
    _act(view["id"], action, {"tree_sha": tree}, said, json_flag=json_flag)


def _act(task: str, action: str, body: Json, said: str, *, json_flag: bool) -> None:
    client = current().client
    whole = task_id(client, task)
    answer = client.post(f"/v1/tasks/{whole}/{action}", body)
    if machine(json_flag):
        printing.document(answer)
    else:
        printing.out.print(f"Task {whole[:8]} {said}.")
