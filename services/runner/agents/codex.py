"""The `codex` agent: Codex without a terminal, its requests going through the run's door.

Its event stream is untrusted: what it runs can write into it. So it ended well only if its process did *and* its last event says so, and
what it spent is what the door metered. Every error exits with 1, so why it ended badly is the door's to say. Each flag was tried in a
sandbox.
"""

import json
from typing import Any, cast

from services.runner.agents import behind_door
from services.runner.agents.adapter import Assignment, Ending, Options
from services.runner.agents.events import as_object, as_text, document, event, log_line
from services.runner.container import WORKSPACE
from services.runner.sandbox import Program, SessionPlace
from shared.events.ids import SessionId
from shared.events.output import AgentEvent
from shared.events.values import Effort

PORT = 8081

PREFACE = (
    "Work on this task in the repository in the current directory. Leave the result in the files; it is taken from there. "
    "Where there are AGENTS.md files, read them first and follow them.\n\n"
)
"""Stands before every prompt, so that none is read as anything else. Codex reads AGENTS.md by itself only where it trusts a repository."""

ENVIRONMENT = {"CODEX_HOME": f"{behind_door.HOME}/.codex"}

_PROVIDER = f'{{name="door",base_url="http://127.0.0.1:{PORT}/v1",env_key="LLM_KEY",wire_api="responses",request_max_retries=3,stream_max_retries=3}}'

SETTINGS = (
    'model_provider="door"',
    f"model_providers.door={_PROVIDER}",
    # What a repository brings along must not run at start nor choose the model: its .codex/config.toml does both once it is trusted, as
    # every directory is where approvals are off (seen: an MCP server of the repository ran).
    f'projects={{"{WORKSPACE}"={{trust_level="untrusted"}}}}',
    "features.hooks=false",
    # These run on the vendor's servers or talk to other hosts; the egress process refuses them as well.
    'web_search="disabled"',
    *("features.apps=false", "features.plugins=false", "features.remote_plugin=false"),
    *("analytics.enabled=false", "check_for_update_on_startup=false"),
    'shell_environment_policy.inherit="core"',
)

FLAGS = (
    *("exec", "--json", "--skip-git-repo-check"),
    # Its own sandbox cannot be set up inside ours, and then it exits with 0 all the same.
    "--dangerously-bypass-approvals-and-sandbox",
    *(part for setting in SETTINGS for part in ("-c", setting)),
)


class Codex:
    """Runs `codex exec` with the prompt on standard input."""

    name = "codex"
    vendor = "openai"
    keeps_to_turns = False
    options = Options(efforts=frozenset(Effort), system_prompt=True)

    def program(self, assignment: Assignment) -> Program:
        """See Agent."""
        effort = assignment.options.effort
        model = ("--model", assignment.model) if assignment.model else ()
        going_on = ("resume", assignment.session_id) if assignment.session_id else ()
        thinking = ("-c", f'model_reasoning_effort="{effort.value}"') if effort else ()
        return behind_door.program(
            assignment,
            ("/usr/local/bin/codex", *FLAGS, *model, *thinking, *going_on, "-"),
            port=PORT,
            token="LLM_KEY",  # noqa: S106 - a variable's name
            environment=ENVIRONMENT,
            preface=PREFACE,
            file=behind_door.File(f"{ENVIRONMENT['CODEX_HOME']}/config.toml", _configured(assignment.system_prompt)),
        )

    def parse(self, line: str) -> AgentEvent | None:
        """See Agent. Types that are unknown, or tell nothing to a person, are skipped."""
        said = document(line)
        if said is None:
            return log_line(line)
        item = as_object(said.get("item"))
        match said.get("type"):
            case "item.started":
                return _begun(item)
            case "item.completed":
                return _done(item)
            case _:
                return _of_the_run(said)

    def session_of(self, line: str) -> SessionId | None:
        """See Agent."""
        return behind_door.session(line, "thread.started", "thread_id")

    def session_place(self, session_id: SessionId) -> SessionPlace | None:
        """See Agent. By day and moment of its beginning, which it finds by the id alone: so any will do to put it back."""
        directory = f"{ENVIRONMENT['CODEX_HOME']}/sessions"
        name = f"rollout-2000-01-01T00-00-00-{session_id}.jsonl"
        return SessionPlace(directory, 3, f"-{session_id}.jsonl", f"{directory}/2000/01/01/{name}")

    def verdict(self, ending: Ending) -> str | None:
        """See Agent."""
        return behind_door.verdict(ending, {})


def _configured(system_prompt: str) -> str:
    """Its configuration with this text as the developer's. A JSON string is a TOML string, but for this one control character."""
    return f"developer_instructions = {json.dumps(system_prompt, ensure_ascii=False)}\n".replace("\x7f", "\\u007f")


def _of_the_run(said: dict[str, Any]) -> AgentEvent | None:
    match said.get("type"):
        case "error":
            return event("log", as_text(said.get("message")), "error")
        case "turn.completed":
            return event("result", "", "success")
        case "turn.failed":
            return event("result", as_text(as_object(said.get("error")).get("message")), "error")
        case _:
            return None


def _begun(item: dict[str, Any]) -> AgentEvent | None:
    match item.get("type"):
        case "agent_message" | "reasoning" | "error" | "todo_list":
            return None  # told when it is whole
        case kind:
            return event("tool_call", _asked(item), as_text(kind))


def _done(item: dict[str, Any]) -> AgentEvent | None:
    match item.get("type"):
        case "agent_message":
            return event("message", as_text(item.get("text")))
        case "reasoning":
            return event("message", as_text(item.get("text")), "reasoning")
        case "error":
            return event("log", as_text(item.get("message")), "error")
        case "todo_list":
            return event("tool_call", as_text(item.get("items")), "todo_list")
        case kind:
            return event("tool_result", _answered(item), as_text(kind))


def _asked(item: dict[str, Any]) -> str:
    if item.get("type") == "file_change":
        return _changes(item)
    return as_text(item.get("command") or _rest(item))


def _answered(item: dict[str, Any]) -> str:
    match item.get("type"):
        case "command_execution":
            code = item.get("exit_code")
            return as_text(item.get("aggregated_output")) + (f"\n(exit code {as_text(code)})" if code else "")
        case "file_change":
            return as_text(item.get("status"))
        case _:
            return as_text(_rest(item))


def _changes(item: dict[str, Any]) -> str:
    given: Any = item.get("changes")
    changes = [as_object(change) for change in cast("list[Any]", given)] if isinstance(given, list) else []
    return "\n".join(f"{as_text(change.get('kind'))} {as_text(change.get('path'))}" for change in changes)


def _rest(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in {"id", "type"}}
