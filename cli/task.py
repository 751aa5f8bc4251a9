"""`task create | list | show | log | watch`: hand one in and follow it."""

import sys
from itertools import islice
from typing import Annotated, Any

import typer

from cli import agent as agent_options
from cli import change, decisions, printing, views, watching
from cli.agent import EffortOption, SystemPromptOption, ToolsOption, TurnsOption
from cli.client import Client, Json
from cli.context import JsonFlag, TaskArgument, current, machine, named, task_id
from cli.examples import examples
from cli.exits import CliError, Exit, State
from cli.text import line

app = typer.Typer(no_args_is_help=True, help="Tasks: prompts on their way to a branch.")

WatchFlag = Annotated[bool, typer.Option("--watch", "-w", help="Follow it until it ends; the exit code says how it did.")]
LimitOption = Annotated[
    list[str] | None,
    typer.Option("--limit", metavar="NAME=VALUE", help="As wall_seconds=600, memory_mib=2048, max_cost_usd=2.5; may be repeated."),
]

MAX_PROMPT_CHARS = 1_000_000
"""What is read of standard input; the server's own limit is lower and says so."""


@app.command(
    epilog=examples(
        'task create -p web "Fix the flaky login test" --watch',
        'task create -p web --agent claude-code --limit max_cost_usd=2 --title "Login test" - < prompt.md',
        "task create -p web --effort high --max-turns 30 --allow-tools Read,Edit --append-system-prompt-file rules.md - < prompt.md",
        "task create -p web -a shell - < codemod.sh",
    )
)
def create(
    prompt: Annotated[str, typer.Argument(help="What to do; `-` reads it from standard input.")],
    project: Annotated[str, typer.Option("--project", "-p", help="The project's name or id.")],
    agent: Annotated[
        str, typer.Option("--agent", "-a", help="`claude-code`, `codex`, `opencode` or `shell` (runs a script).")
    ] = "claude-code",
    model: Annotated[str | None, typer.Option(help="The model; the project's or the agent's own without it.")] = None,
    effort: EffortOption = None,
    max_turns: TurnsOption = None,
    append_system_prompt_file: SystemPromptOption = None,
    allow_tools: ToolsOption = None,
    title: Annotated[str | None, typer.Option(help="The prompt's first line without it.")] = None,
    repository: Annotated[
        str | None, typer.Option("--repository", "-r", help="Its address or id, where the project has more than one.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="The branch to start from.")] = None,
    limit: LimitOption = None,
    watch: WatchFlag = False,
    json_flag: JsonFlag = False,
) -> None:
    """Hand in a task. Once this answers it is not lost, whatever process dies."""
    client = current().client
    text = sys.stdin.read(MAX_PROMPT_CHARS) if prompt == "-" else prompt
    owner = named(client, "/v1/projects", project, "project")
    body = {"project_id": owner["id"], "prompt": text, "agent": agent, "model": model, "title": title, "base_ref": base}
    if repository is not None:
        body["repository_id"] = _repository(client, owner, repository)
    limits = dict(map(_limit, limit or [])) | ({} if max_turns is None else {"max_turns": max_turns})
    options = agent_options.options(effort, append_system_prompt_file, allow_tools)
    body |= ({"limits": limits} if limits else {}) | ({"agent_options": options} if options else {})
    made = client.post_once("/v1/tasks", {name: value for name, value in body.items() if value is not None})
    if machine(json_flag):
        printing.documents([made])
    else:
        printing.say(f"Task {line(made['id'])[:8]} is handed in", *(() if watch else (": ", (line(made["title"], 120), "bold"))))
    if watch:
        raise typer.Exit(watching.follow(client, made["id"], as_json=machine(json_flag)))
    if not machine(json_flag):
        printing.say(f"Follow it with: ./async-code task watch {line(made['id'])[:8]}")


def _repository(client: Client, owner: Json, given: str) -> str:
    return str(named(client, f"/v1/projects/{owner['id']}/repositories", given, "repository", "url")["id"])


def _limit(given: str) -> tuple[str, Any]:
    """`name=value`; which names and values there are is the server's to say."""
    name, equals, value = given.partition("=")
    try:
        return name, int(value) if value.isdecimal() else float(value)
    except ValueError as error:
        raise CliError(
            f"{given!r} is no limit{'' if equals else ': there is no = in it'}.", "As: --limit wall_seconds=600", Exit.USAGE
        ) from error


@app.command("list", epilog=examples("task list", "task list --project web --state failed", "task list --limit 1000 --json"))
def list_tasks(
    project: Annotated[str | None, typer.Option("--project", "-p", help="Only this project's (name or id).")] = None,
    state: Annotated[State | None, typer.Option(help="Only tasks in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, newest first.")] = 20,
    json_flag: JsonFlag = False,
) -> None:
    """List your tasks, newest first."""
    client = current().client
    project_id = named(client, "/v1/projects", project, "project")["id"] if project else None
    found = list(islice(client.pages("/v1/tasks", project_id=project_id, state=state, limit=min(limit, 100)), limit))
    if machine(json_flag):
        printing.document(found)
    elif not found:
        printing.say('No tasks here. Hand one in: ./async-code task create --project NAME "What to do"')
    else:
        rows = (
            [view["id"][:8], views.state(view["state"]), view["agent"], view["title"], views.when(view["created_at"])] for view in found
        )
        printing.table(["task", "state", "agent", "title", "created"], rows)


@app.command(epilog=examples("task show 3f2a", "task show 3f2a --json"))
def show(task: TaskArgument, json_flag: JsonFlag = False) -> None:
    """Show one task: state, branch, cost, and why it failed if it did."""
    client = current().client
    view = client.get(f"/v1/tasks/{task_id(client, task)}")
    if machine(json_flag):
        printing.document(view)
    else:
        views.task(view)


@app.command(epilog=examples("task log 3f2a", "task log 3f2a --json > log.jsonl"))
def log(task: TaskArgument, json_flag: JsonFlag = False) -> None:
    """Show what the agent said and did so far. As JSON: one line of output per line."""
    client = current().client
    output = views.Output()
    for said in client.pages(f"/v1/tasks/{task_id(client, task)}/messages", key="messages", limit=500):
        if machine(json_flag):
            printing.documents([said])
        else:
            output.show(said.get("event") or {})


@app.command(epilog=examples("task watch 3f2a", "task watch 3f2a --json"))
def watch(task: TaskArgument, json_flag: JsonFlag = False) -> None:
    """Follow a task live until it ends or waits for you; the exit code says how it did.

    It comes back by itself after a lost connection, without a gap or a repetition. As JSON: one event per line.
    """
    client = current().client
    raise typer.Exit(watching.follow(client, task_id(client, task), as_json=machine(json_flag)))


app.registered_commands += [*change.app.registered_commands, *decisions.app.registered_commands]
