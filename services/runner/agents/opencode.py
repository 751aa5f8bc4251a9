"""The `opencode` agent: OpenCode without a terminal, its requests going through the run's door to Anthropic's API.

Its configuration is one variable, and what a repository brings along is not read: docs/adding-an-agent.md tells how that was found out, and
why the version is the one it is. Its event stream is untrusted, as every agent's: see behind_door.
"""

import json
import re
from typing import Any

from services.runner.agents import behind_door
from services.runner.agents.adapter import Assignment, Ending, Options
from services.runner.agents.events import as_object, as_text, document, event, log_line
from services.runner.container import WORKSPACE
from services.runner.sandbox import Program, SessionPlace
from shared.events import ids
from shared.events.ids import SessionId
from shared.events.output import AgentEvent
from shared.events.values import Effort

PORT = 8082
SYSTEM_PROMPT = f"{behind_door.HOME}/system-prompt.md"
DATA = f"{behind_door.HOME}/.local/share/opencode"
PREFACE = "Work on this task in the repository in the current directory. Leave the result in the files; it is taken from there.\n\n"

ENVIRONMENT = dict.fromkeys(
    (
        # Of the repository: its configuration would choose the model's address, start servers and run plugins.
        *("OPENCODE_DISABLE_PROJECT_CONFIG", "OPENCODE_PURE", "OPENCODE_DISABLE_EXTERNAL_SKILLS", "OPENCODE_DISABLE_CLAUDE_CODE"),
        # Of the network, which is not there: each of these would wait for it.
        *("OPENCODE_DISABLE_AUTOUPDATE", "OPENCODE_DISABLE_MODELS_FETCH", "OPENCODE_DISABLE_LSP_DOWNLOAD", "OPENCODE_DISABLE_SHARE"),
        "OPENCODE_DISABLE_DEFAULT_PLUGINS",
    ),
    "1",
)

CONFIGURATION = {
    "enabled_providers": ["anthropic"],
    "instructions": [f"{WORKSPACE}/AGENTS.md", SYSTEM_PROMPT],
    "share": "disabled",
    "autoupdate": False,
    "snapshot": False,
    # Programs of the repository's choice, started by an edit.
    "formatter": False,
    "lsp": False,
}

THINK_BY_BUDGET = (
    "claude-haiku-4-5",
    "claude-sonnet-4-5",
    "claude-sonnet-4-0",
    "claude-sonnet-4-2025",
    "claude-opus-4-0",
    "claude-opus-4-1",
)
"""Models that take no effort: for `high` and `max` the program gives them a budget of tokens to think with, for others nothing."""

_SESSION = re.compile(r"ses_[0-9A-Za-z]{20,40}")
_SESSIONS = "6f3f6a0e-6c0b-4d0e-9a52-5b0d7d3c9c11"
"""What the ids of its sessions are derived from; an arbitrary id, for ever the same."""


class OpenCode:
    """Runs `opencode run` with the prompt on standard input."""

    name = "opencode"
    vendor = "anthropic"
    keeps_to_turns = False
    options = Options(
        efforts=frozenset({Effort.LOW, Effort.MEDIUM, Effort.HIGH, Effort.MAX}),
        tools=frozenset({"bash", "edit", "glob", "grep", "read", "skill", "task", "todowrite"}),
        system_prompt=True,
    )

    def program(self, assignment: Assignment) -> Program:
        """See Agent."""
        effort = assignment.options.effort
        model = ("--model", f"anthropic/{assignment.model}") if assignment.model else ()
        thinking = ("--variant", effort.value) if effort else ()
        going_on = ("--continue",) if assignment.session_id else ()
        return behind_door.program(
            assignment,
            # Without a title of ours it asks the model for one.
            ("/usr/local/bin/opencode", "run", "--format", "json", "--title", "task", *model, *thinking, *going_on),
            port=PORT,
            token="LLM_KEY",  # noqa: S106 - a variable's name
            environment={**ENVIRONMENT, "OPENCODE_CONFIG_CONTENT": json.dumps(_configuration(assignment))},
            preface=PREFACE,
            file=behind_door.File(SYSTEM_PROMPT, assignment.system_prompt),
        )

    def parse(self, line: str) -> AgentEvent | None:
        """See Agent. Types that are unknown, or tell nothing to a person, are skipped."""
        said = document(line)
        if said is None:
            return log_line(line)
        part = as_object(said.get("part"))
        match said.get("type"):
            case "text":
                return event("message", as_text(part.get("text")))
            case "tool_use":
                return _tool(as_text(part.get("tool")), as_object(part.get("state")))
            case "step_finish" if part.get("reason") != "tool-calls":
                return event("result", "", "success" if part.get("reason") == "stop" else "error")
            case "error":
                return event("result", _problem(said), "error")
            case _:
                return None

    def session_of(self, line: str) -> SessionId | None:
        """See Agent. Its own id is no UUID; nothing needs it, for a sandbox has one session, and it goes on with the last."""
        said = document(line) if "step_start" in line else None
        told = as_text(said.get("sessionID")) if said is not None and said.get("type") == "step_start" else ""
        return SessionId(ids.derive(_SESSIONS, told)) if _SESSION.fullmatch(told) else None

    def session_place(self, session_id: SessionId) -> SessionPlace | None:
        """See Agent. A database, which its image's `session-out` and `launch` make a file of and make of a file."""
        del session_id
        return SessionPlace(DATA, 0, "opencode.session", f"{DATA}/opencode.session")

    def verdict(self, ending: Ending) -> str | None:
        """See Agent."""
        return behind_door.verdict(ending, {})


def _configuration(assignment: Assignment) -> dict[str, Any]:
    allowed, effort = assignment.options.allowed_tools, assignment.options.effort
    offered = {"*": "allow"} if allowed is None else {"*": "deny", **dict.fromkeys(allowed, "allow")}
    itself = effort in {Effort.HIGH, Effort.MAX} and (assignment.model or "").startswith(THINK_BY_BUDGET)
    # What it has never heard of is still the API's to know: a model, and whether that takes an effort, which it would leave out.
    known = {"variants": {effort.value: {"effort": effort.value}}} if effort and not itself else {}
    options = {"baseURL": f"http://127.0.0.1:{PORT}/v1", "apiKey": "{env:LLM_KEY}"}
    return {
        **CONFIGURATION,
        "provider": {"anthropic": {"options": options, "models": {assignment.model: known} if assignment.model else {}}},
        # Nobody is there to be asked; what leaves the sandbox is not there.
        "permission": {**offered, "webfetch": "deny", "websearch": "deny"},
    }


def _tool(name: str, state: dict[str, Any]) -> AgentEvent:
    """It tells of a tool once it has answered: what was asked and what came of it in one."""
    asked = f"{as_text(state.get('input'))}\n"
    return event("tool_result", asked + as_text(state.get("error") or state.get("output")), name)


def _problem(said: dict[str, Any]) -> str:
    error = as_object(said.get("error"))
    return as_text(as_object(error.get("data")).get("message") or error.get("name"))
