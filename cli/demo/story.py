"""The demo from its first line to its last: what is set up, shown and left behind. Every step is one a user could have typed."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli import printing, proof, views, watching
from cli.account import generated_user
from cli.client import Client, Json
from cli.context import Context, layout
from cli.demo import model, repository
from cli.exits import CliError, Exit
from cli.text import line
from deploy.embedded import users

PROJECT = "demo"
SCRIPTED_KEY = "sk-scripted-model-takes-any-key"  # the local model asks for none; the egress process still puts it in
CHECK_TITLE = "Run the tests of {branch}"


@dataclass(frozen=True)
class Settings:
    """How the stack is to be set up for the demo, as the variables of `up`."""

    real_key: str | None

    def variables(self) -> dict[str, str]:
        """What the operator would have to set by hand."""
        return {
            "ASYNC_CODE_GIT_ALLOW_PROTOCOLS": "https,file",
            "ASYNC_CODE_GIT_ALLOW_DIRECTORIES": str(directory()),
            "ASYNC_CODE_SCRIPTED_MODEL": "false" if self.real_key else "true",
        }


def directory() -> Path:
    """Where the demo's repository lies: the one place file:// may lead to."""
    return layout().root / "demo"


def tell(context: Context, real_key: str | None) -> None:
    """Everything after the stack is up. Raises CliError where a step does not end as it should."""
    client = context.client
    with _step("Signing in as the user the first start made"):
        client.sign_in(*generated_user())
    with _step("Making a project with a small repository whose test fails"):
        path = directory() / "repository.git"
        project = _project(client, repository.ensure(path, users.ensure()["git"]))
        _model_key(client, real_key)
    said = (
        "your key, Anthropic's API" if real_key else "no ANTHROPIC_API_KEY is set: a local scripted model answers, everything else is real"
    )
    script = f"{repository.FIX}\n{repository.TEST}\n"
    done = [
        _fix(client, project, "shell", script, "1. A script as the agent: `shell`"),
        _fix(client, project, "claude-code", model.PROMPT, f"2. The real Claude Code ({said})"),
    ]
    _heading("3. The tests on what was pushed, in a sandbox of their own")
    for view in done:
        _passes(client, project, view)
    _heading("4. The trail")
    _proved(client, done)
    _farewell(context, done)


def _heading(text: str) -> None:
    printing.say(("\n" + text, "bold"))


@contextmanager
def _step(text: str) -> Generator[None]:
    begun = time.monotonic()
    yield
    printing.say(("✓ ", "green"), text, (f" ({time.monotonic() - begun:.1f} s)", "dim"))


def _project(client: Client, url: str) -> Json:
    found = [item for item in client.pages("/v1/projects") if item["name"] == PROJECT]
    project = found[0] if found else client.post("/v1/projects", {"name": PROJECT})
    repositories = f"/v1/projects/{project['id']}/repositories"
    if not any(item["url"] == url for item in client.pages(repositories)):
        client.post(repositories, {"url": url})
    return project


def _model_key(client: Client, real_key: str | None) -> None:
    """A key that is given replaces the newest; the scripted model's is stored once."""
    stored = any(item["purpose"] == "model_key" for item in client.pages("/v1/credentials"))
    if real_key or not stored:
        client.post("/v1/credentials", {"purpose": "model_key", "vendor": "anthropic", "value": real_key or SCRIPTED_KEY, "label": PROJECT})


def _fix(client: Client, project: Json, agent: str, prompt: str, heading: str) -> Json:
    _heading(heading)
    title = f"Fix the failing test with {agent}"
    task = client.post("/v1/tasks", {"project_id": project["id"], "agent": agent, "prompt": prompt, "title": title})
    code = watching.follow(client, task["id"], as_json=False)
    if code != Exit.OK:
        raise CliError(
            f"The task ended otherwise than the demo expects ({Exit(code).name}).", f"./async-code task show {task['id'][:8]}", Exit(code)
        )
    views.diff(client.text(f"/v1/tasks/{task['id']}/patch"))
    return client.get(f"/v1/tasks/{task['id']}")


def _passes(client: Client, project: Json, fixed: Json) -> None:
    """Agent-made code is run where agent-made code belongs: in a sandbox, by a task that starts from the pushed branch."""
    branch = fixed["branch"]
    with _step(f"{branch} is pushed, and its tests pass"):
        body = {
            "project_id": project["id"],
            "agent": "shell",
            "base_ref": branch,
            "prompt": repository.TEST,
            "title": CHECK_TITLE.format(branch=branch),
        }
        task = client.post("/v1/tasks", body)
        ended = watching.silently(client, task["id"])
        if ended["state"] != "succeeded" or ended["base_sha"] != fixed["commit_sha"]:
            raise CliError(f"The tests on {branch} did not pass.", f"./async-code task show {task['id'][:8]}", Exit.TASK_FAILED)


def _proved(client: Client, done: list[Json]) -> None:
    last = max(entry["index"] for view in done for entry in client.pages("/v1/audit", key="entries", task_id=view["id"], limit=500))
    with _step("Recomputed from its entries, it agrees with its signed checkpoints"):
        report = proof.wait_sealed(last)
        if not report.verified or report.sealed <= last:
            raise CliError("The trail does not hold.", "./async-code audit verify")
    printing.say("  ", proof.describe(report))


def _farewell(context: Context, done: list[Json]) -> None:
    email, _password = generated_user()
    costs = ", ".join(f"{view['agent']} ${view['usage']['cost_usd']:.4f}" for view in done)
    printing.say(("\nDone.", "bold"), f" Cost: {costs}.")
    printing.say(f"The stack is up at {context.server}. You are signed in as {line(email)};\nthe password is in {layout().sign_in}.")
    printing.say("Codex works the same way: ./async-code credential add model_key --vendor openai, then task create --agent codex")
    printing.say("Go on with: ./async-code task list    Stop it with: ./async-code down")
