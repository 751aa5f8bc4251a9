"""OpenCode's own words, read with distrust."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from services.runner.agents.adapter import Assignment, Ending
from services.runner.agents.opencode import OpenCode
from services.runner.doors import Door, Spending
from shared.events import ids
from shared.events.output import AgentEvent
from shared.events.values import AgentOptions, Effort, Limits

VECTORS = Path(__file__).parents[4] / "vectors" / "opencode"
AGENT = OpenCode()
DOOR = Door(Path("/run/x"), "model.sock", SecretStr("worthless"))


def _events(name: str) -> list[AgentEvent]:
    events = (AGENT.parse(line) for line in (VECTORS / f"{name}.jsonl").read_text().splitlines())
    return [event for event in events if event is not None]


def _configuration(options: AgentOptions, model: str | None = "claude-x") -> dict[str, object]:
    assignment = Assignment(ids.RunId(ids.fresh()), "Fix it", model, Limits(), DOOR, options=options)
    return json.loads(AGENT.program(assignment).environment["OPENCODE_CONFIG_CONTENT"])


def test_a_recorded_run_reads_as_a_story() -> None:
    events = _events("opencode_run")
    assert [(event.kind, event.name) for event in events] == [
        ("message", ""),
        ("tool_result", "read"),
        ("message", ""),
        ("tool_result", "edit"),
        ("tool_result", "bash"),
        ("tool_result", "invalid"),
        ("message", ""),
        ("result", "success"),
    ]
    assert "python3 app.py" in events[4].text
    assert events[4].text.endswith("bye\n")


def test_what_the_api_said_is_its_last_word() -> None:
    last = _events("opencode_err_401")[-1]
    assert last == AgentEvent(kind="result", name="error", text="authentication_error")
    assert AGENT.verdict(Ending(1, last, Spending(upstream_status=401))) == "model_auth"


def test_nothing_of_the_repositorys_is_read_and_nobody_is_asked() -> None:
    program = AGENT.program(Assignment(ids.RunId(ids.fresh()), "Fix it", "claude-x", Limits(), DOOR))
    assert program.environment["OPENCODE_DISABLE_PROJECT_CONFIG"] == program.environment["OPENCODE_PURE"] == "1"
    assert _configuration(AgentOptions())["permission"] == {"*": "allow", "webfetch": "deny", "websearch": "deny"}
    assert "worthless" not in program.environment["OPENCODE_CONFIG_CONTENT"]


def test_only_the_allowed_tools_are_offered() -> None:
    offered = _configuration(AgentOptions(allowed_tools=("bash", "read")))["permission"]
    assert offered == {"*": "deny", "bash": "allow", "read": "allow", "webfetch": "deny", "websearch": "deny"}


def test_effort_and_model_are_flags() -> None:
    assignment = Assignment(ids.RunId(ids.fresh()), "Fix it", "claude-x", Limits(), DOOR, options=AgentOptions(effort=Effort.HIGH))
    assert AGENT.program(assignment).argv[-4:] == ("--model", "anthropic/claude-x", "--variant", "high")


@pytest.mark.parametrize(
    ("model", "effort", "said"),
    [
        ("claude-x", Effort.HIGH, {"variants": {"high": {"effort": "high"}}}),
        ("claude-haiku-4-5-20251001", Effort.LOW, {"variants": {"low": {"effort": "low"}}}),
        ("claude-haiku-4-5-20251001", Effort.HIGH, {}),
        ("claude-x", None, {}),
    ],
)
def test_an_effort_is_never_left_out(model: str, effort: Effort | None, said: dict[str, object]) -> None:
    """Where the program knows nothing to do for it, the API is asked: a refusal is seen, and silence would not be."""
    provider = cast("Any", _configuration(AgentOptions(effort=effort), model)["provider"])
    assert provider["anthropic"]["models"] == {model: said}


def test_a_session_is_told_by_the_agents_first_event_alone() -> None:
    lines = (VECTORS / "opencode_run.jsonl").read_text().splitlines()
    told = {AGENT.session_of(line) for line in lines}
    assert len(told) == 2  # one, and none in other lines
    assert AGENT.session_of(lines[0]) == AGENT.session_of(lines[0]) is not None
    assert AGENT.session_of(lines[0].replace("ses_", "ses_A")) not in told


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["stop", "tool-calls", "bash"]),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["type", "part", "state", "text", "tool", "reason", "error", "data", "message"]), inner)
    ),
)


@given(st.sampled_from(["text", "tool_use", "step_finish", "error"]), JSON)
def test_a_known_type_with_any_content_breaks_nothing(kind: str, content: object) -> None:
    event = AGENT.parse(json.dumps({"type": kind, "part": content, "error": content}))
    if event is not None:
        event.model_dump_json()


@pytest.mark.parametrize("line", ["", "null", "[]", "not JSON", '{"type": 7}'])
def test_what_is_no_event_of_its_own_is_a_line_or_nothing(line: str) -> None:
    event = AGENT.parse(line)
    assert event is None or event == AgentEvent(kind="log", text=line)
