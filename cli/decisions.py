"""`task cancel | approve | reject | budget | publish | discard`: what only a person decides about a task.

Nothing is pushed by these commands that was not shown just before, or whose tree was not named.
"""

import sys
from typing import Annotated

import typer

from cli import printing, review, views, watching
from cli.client import Client, Json
from cli.context import JsonFlag, TaskArgument, current, machine, task_id
from cli.examples import examples
from cli.exits import OF_STATE, CliError, Exit
from cli.text import line

app = typer.Typer()

_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
YesFlag = Annotated[bool, typer.Option("--yes", help="Ask nothing, for scripts; what is pushed is then named by --tree.")]
TreeOption = Annotated[str | None, typer.Option(metavar="SHA", help="Only if the change is still this tree, as it was shown.")]


@app.command(epilog=examples("task cancel 3f2a"))
def cancel(task: TaskArgument, json_flag: JsonFlag = False) -> None:
    """Stop a task, wherever it is. What it had made is kept for a while: see `task publish`."""
    client = current().client
    _act(client, task_id(client, task), "cancel", {}, "is being cancelled", json_flag=json_flag)


@app.command(epilog=examples("task approve 3f2a", f"task approve 3f2a --yes --tree {_TREE}"))
def approve(task: TaskArgument, tree: TreeOption = None, yes: YesFlag = False, json_flag: JsonFlag = False) -> None:
    """Let the change that waits be pushed: shows its files, those that are protected and why, and asks.

    Exactly the tree that is shown is pushed, no other. In scripts: --yes and the --tree that was looked at.
    """
    client = current().client
    view = client.get(f"/v1/tasks/{task_id(client, task)}")
    if view.get("state") != "awaiting_approval" or not view.get("tree_sha"):
        raise CliError(f"The task waits for nobody's approval: its state is {_state(view)}.", f"See: {_typed('show', view)}", Exit.REFUSED)
    _approve(client, view, tree, yes=yes, json_flag=json_flag)


@app.command(epilog=examples("task reject 3f2a", "task reject 3f2a --yes"))
def reject(
    task: TaskArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Show nothing, and do not ask.")] = False,
    json_flag: JsonFlag = False,
) -> None:
    """Leave the change that waits unpublished, after showing it as `task approve` does: the task ends, and nothing of the change is kept.

    Of a task that waits for a budget: do not raise it. The task ends as failed; what it made is kept. Scripts are not asked.
    """
    client = current().client
    whole = task_id(client, task)
    if not yes and _terminal(json_flag):
        _unwanted(client, client.get(f"/v1/tasks/{whole}"))
    _act(client, whole, "reject", {}, "is rejected", json_flag=json_flag)


@app.command(epilog=examples("task budget 3f2a 5", "task budget 3f2a"))
def budget(
    task: TaskArgument,
    usd: Annotated[float | None, typer.Argument(metavar="USD", help="What it may cost in all, what it has spent included.", min=0)] = None,
    json_flag: JsonFlag = False,
) -> None:
    """Raise the budget that a task waits for: it goes on where it stopped. Without USD where a month's budget was raised."""
    client = current().client
    body = {} if usd is None else {"max_cost_usd": usd}
    _act(client, task_id(client, task), "budget", body, "goes on as soon as it has a slot", json_flag=json_flag)


@app.command(epilog=examples("task publish 3f2a", f"task publish 3f2a --yes --tree {_TREE} --watch --json"))
def publish(
    task: TaskArgument,
    tree: TreeOption = None,
    yes: YesFlag = False,
    credential: Annotated[
        str | None, typer.Option(metavar="ID", help="The git token to push with; your newest for the host without it.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow it until it ends or waits; the exit code says how it did.")] = False,
    json_flag: JsonFlag = False,
) -> None:
    """Publish what a task had made that failed, was cancelled or ran out of time, after showing it as `task approve` does.

    In scripts: without --yes the task goes on to wait for its approval (exit code 13 with --watch); with --yes and the --tree of a diff
    that was looked at, it is pushed at once. Also to publish again after a refused push.
    """
    client = current().client
    view = client.get(f"/v1/tasks/{task_id(client, task)}")
    whole = str(view["id"])
    body = {"credential_id": credential} if credential else {}
    if yes:
        body["tree_sha"] = _named(view, tree)
    elif not _terminal(json_flag):
        if tree is not None:
            raise CliError("--tree says what to push at once, and nobody can be asked here.", "Say --yes too, or leave it out.", Exit.USAGE)
    elif shown := _stored(client, view):
        body["tree_sha"] = _agreed(view, shown, tree)
    _act(client, whole, "publish", body, "is being published", json_flag=json_flag)
    if watch or (not body.get("tree_sha") and _terminal(json_flag)):
        _follow(client, view, tree, watch=watch, json_flag=json_flag)


@app.command(epilog=examples("task discard 3f2a", "task discard 3f2a --yes"))
def discard(
    task: TaskArgument, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, json_flag: JsonFlag = False
) -> None:
    """Give up what a task had made that ended without publishing it: it can not be published any more."""
    client = current().client
    whole = task_id(client, task)
    if not yes:
        if not _terminal(json_flag):
            raise CliError("Nobody can be asked here.", "Say --yes if it is not wanted.", Exit.USAGE)
        views.task(client.get(f"/v1/tasks/{whole}"))
        if not typer.confirm("Give up what it made, for good?"):
            raise CliError("Nothing was discarded.", "", Exit.FAILED)
    _act(client, whole, "discard", {}, "keeps nothing any more", json_flag=json_flag)


def _follow(client: Client, before: Json, tree: str | None, *, watch: bool, json_flag: bool) -> None:
    """Wait until the task ends or waits for a person; on a terminal ask that person now."""
    watching.until_heard(client, before)
    if not _terminal(json_flag):
        raise typer.Exit(watching.follow(client, str(before["id"]), as_json=machine(json_flag)))
    view = watching.silently(client, str(before["id"]))
    if view.get("state") == "awaiting_approval":
        _approve(client, view, tree, yes=False, json_flag=json_flag)
        if not watch:
            return
        watching.until_heard(client, view)
        view = watching.silently(client, str(view["id"]))
    views.task(view)
    raise typer.Exit(int(OF_STATE.get(str(view.get("state")), Exit.FAILED)))


def _approve(client: Client, view: Json, tree: str | None, *, yes: bool, json_flag: bool) -> None:
    if yes:
        agreed = _named(view, tree)
    elif _terminal(json_flag):
        agreed = _agreed(view, client.get(f"/v1/tasks/{view['id']}/changes"), tree)
    else:
        raise CliError("Nobody can be asked here.", f"Look at it with: {_typed('diff', view)}, then say --yes --tree SHA.", Exit.USAGE)
    _act(client, str(view["id"]), "approve", {"tree_sha": agreed}, "is approved: its branch is being pushed", json_flag=json_flag)


def _stored(client: Client, view: Json) -> Json | None:
    """The diff of what is kept, if there is one."""
    kept: Json = view.get("kept") or {}
    if not view.get("change") or not kept:
        return None
    changes = client.get(f"/v1/tasks/{view['id']}/changes")
    return changes if changes.get("tree_sha") == kept.get("tree_sha") else None


def _named(view: Json, tree: str | None) -> str:
    """Whoever is not asked has looked before, and says at what."""
    if tree is None:
        raise CliError("--yes needs --tree: the one you looked at.", f"It stands in: {_typed('show', view)} --json", Exit.USAGE)
    return tree


def _agreed(view: Json, changes: Json, tree: str | None) -> str:
    """The tree a person was shown and wants to be pushed. Raises CliError where they do not, or meant another."""
    shown = str(changes.get("tree_sha"))
    if tree not in (None, shown):
        raise CliError(f"The change is another tree by now: {line(shown)}", f"See: {_typed('diff', view)}", Exit.REFUSED)
    review.show(view, changes)
    if not typer.confirm("Push exactly this tree?"):
        raise CliError("Nothing was pushed.", f"The whole diff: {_typed('diff', view)}", Exit.FAILED)
    return shown


def _unwanted(client: Client, view: Json) -> None:
    """A person was shown the change that waits, if one does, and does not want it. Raises CliError where they do."""
    if view.get("state") != "awaiting_approval":
        return
    review.show(view, client.get(f"/v1/tasks/{view['id']}/changes"))
    if not typer.confirm("Leave it unpublished, for good?"):
        raise CliError("Nothing was rejected.", f"The whole diff: {_typed('diff', view)}", Exit.FAILED)


def _terminal(json_flag: bool) -> bool:
    """Whether there is a person to show something and to ask."""
    return not machine(json_flag) and sys.stdin.isatty()


def _state(view: Json) -> str:
    return line(str(view.get("state")).replace("_", " "))


def _typed(command: str, view: Json) -> str:
    return f"./async-code task {command} {line(str(view['id']))[:8]}"


def _act(client: Client, whole: str, action: str, body: Json, said: str, *, json_flag: bool) -> None:
    answer = client.post_once(f"/v1/tasks/{whole}/{action}", body)
    if machine(json_flag):
        printing.documents([answer])
    else:
        printing.say(f"Task {whole[:8]} {said}.")
