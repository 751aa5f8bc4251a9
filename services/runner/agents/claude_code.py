"""The `claude-code` agent: Claude Code without a terminal, its requests going through the run's door.

Its event stream is untrusted: what it runs can write into it. So it ended well only if its process did *and* its last event says so, and
what it spent is what the door metered. Flags and traps: the agent's own documentation, and each was tried in a sandbox.
"""

import json
from typing import Any, cast

from services.runner.agents import behind_door
from services.runner.agents.adapter import Assignment, Ending, Options
from services.runner.agents.events import as_text, document, event, log_line
from services.runner.sandbox import Program, SessionPlace
from shared.events.ids import SessionId
from shared.events.output import AgentEvent
from shared.events.values import Effort

PORT = 8080
SYSTEM_PROMPT = f"{behind_door.HOME}/system-prompt.md"

PREFACE = "Work on this task in the repository in the current directory. Leave the result in the files; it is taken from there.\n\n"
"""Stands before every prompt: one that begins with `/` would otherwise run as a command of the agent."""

ENVIRONMENT = {
    "CLAUDE_CONFIG_DIR": f"{behind_door.HOME}/.claude",
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_MAX_RETRIES": "4",
    "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{PORT}",
}

SETTINGS = {
    "disableAllHooks": True,
    "apiKeyHelper": "",
    # A repository's own settings are read, and may set variables: these lead to the model and stand above them.
    "env": {
        "ANTHROPIC_BASE_URL": ENVIRONMENT["ANTHROPIC_BASE_URL"],
        **dict.fromkeys(("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY"), ""),
    },
}
"""Above what a repository's settings say (seen: one sent the agent to another API, and ran a program of its own for a key)."""

FLAGS = (
    *("-p", "--output-format", "stream-json", "--verbose", "--dangerously-skip-permissions"),
    # What a repository brings along must not run at start: its settings' hooks, its MCP servers. CLAUDE.md is still read.
    *("--setting-sources", "user,project", "--strict-mcp-config", "--settings", json.dumps(SETTINGS)),
    # Both run on the vendor's servers, which would be a way out; the egress process refuses them as well.
    *("--disallowedTools", "WebSearch,WebFetch"),
)


class ClaudeCode:
    """Runs `claude -p` with the prompt on standard input."""

    name = "claude-code"
    vendor = "anthropic"
    keeps_to_turns = True
    options = Options(
        efforts=frozenset({Effort.LOW, Effort.MEDIUM, Effort.HIGH, Effort.XHIGH, Effort.MAX}),
        tools=frozenset({"Agent", "Bash", "Edit", "Glob", "Grep", "NotebookEdit", "Read", "Skill", "Write"}),
        system_prompt=True,
    )

    def program(self, assignment: Assignment) -> Program:
        """See Agent."""
        limits = ("--max-turns", str(assignment.limits.max_turns), "--max-budget-usd", str(assignment.limits.max_cost_usd))
        return behind_door.program(
            assignment,
            ("/usr/local/bin/claude", *FLAGS, *limits, *_options(assignment)),
            port=PORT,
            token="ANTHROPIC_API_KEY",  # noqa: S106 - a variable's name
            environment=ENVIRONMENT,
            preface=PREFACE,
            file=behind_door.File(SYSTEM_PROMPT, assignment.system_prompt),
        )

    def parse(self, line: str) -> AgentEvent | None:
        """See Agent. Types that are unknown, or tell nothing to a person, are skipped."""
        said = document(line)
        if said is None:
            return log_line(line)
        match said.get("type"):
            case "assistant" | "user":
                return _block(said)
            case "result":
                return event("result", as_text(said.get("result")), _subtype(said))
            case _:
                return None

    def session_of(self, line: str) -> SessionId | None:
        """See Agent. Each event names it; the first is the agent's own, before anything it runs could speak."""
        return behind_door.session(line, "system", "session_id")

    def session_place(self, session_id: SessionId) -> SessionPlace | None:
        """See Agent. The directory follows from the work's."""
        directory = f"{ENVIRONMENT['CLAUDE_CONFIG_DIR']}/projects/-workspace"
        return SessionPlace(directory, 0, f"{session_id}.jsonl", f"{directory}/{session_id}.jsonl")

    def verdict(self, ending: Ending) -> str | None:
        """See Agent."""
        return behind_door.verdict(ending, _SUBTYPES)


_SUBTYPES = {"error_max_turns": "agent_max_turns", "error_max_budget_usd": "budget_exceeded"}


def _options(assignment: Assignment) -> tuple[str, ...]:
    chosen = assignment.options
    return (
        *(("--resume", assignment.session_id) if assignment.session_id else ()),
        *(("--model", assignment.model) if assignment.model else ()),
        *(("--effort", chosen.effort.value) if chosen.effort else ()),
        # Not --allowedTools: where permissions are off, it keeps nothing away.
        *(("--tools", ",".join(chosen.allowed_tools)) if chosen.allowed_tools is not None else ()),
        *(("--append-system-prompt-file", SYSTEM_PROMPT) if assignment.system_prompt else ()),
    )


def _subtype(said: dict[str, Any]) -> str:
    """`success` only where the event does not contradict itself: API errors come as `success` with `is_error`."""
    subtype = as_text(said.get("subtype"))[:64]
    return "error" if subtype == "success" and said.get("is_error") is not False else subtype


def _block(said: dict[str, Any]) -> AgentEvent | None:
    """The content block of a message; the stream has one event for each."""
    message: Any = said.get("message")
    content: Any = cast("dict[str, Any]", message).get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        return event("message", content) if said["type"] == "assistant" else None
    blocks = (
        [cast("dict[str, Any]", block) for block in cast("list[Any]", content) if isinstance(block, dict)]
        if isinstance(content, list)
        else []
    )
    for block in blocks:
        match block.get("type"):
            case "text" if said["type"] == "assistant":
                return event("message", as_text(block.get("text")))
            case "tool_use":
                return event("tool_call", as_text(block.get("input")), as_text(block.get("name"))[:256])
            case "tool_result":
                return event("tool_result", _result_text(block.get("content")))
            case _:
                continue
    return None


def _result_text(content: Any) -> str:
    if not isinstance(content, list):
        return as_text(content)
    parts = (cast("dict[str, Any]", part).get("text") for part in cast("list[Any]", content) if isinstance(part, dict))
    return "\n".join(as_text(part) for part in parts if part is not None)
