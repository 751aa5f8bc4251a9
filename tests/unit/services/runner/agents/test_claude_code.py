"""Claude Code's own words, read with distrust."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from services.runner.agents.adapter import Assignment, Ending
from services.runner.agents.claude_code import ClaudeCode
from services.runner.doors import Door, Spending
from shared.events import ids
from shared.events.output import MAX_TEXT, AgentEvent
from shared.events.values import Limits

VECTORS = Path(__file__).parents[4] / "vectors" / "claude_code"
AGENT = ClaudeCode()
DOOR = Door(Path("/run/x"), "anthropic.sock", SecretStr("worthless"))
GOOD = AgentEvent(kind="result", name="success", text="Done.")


def _events(name: str) -> list[AgentEvent]:
    events = (AGENT.parse(line) for line in (VECTORS / f"{name}.jsonl").read_text().splitlines())
    return [event for event in events if event is not None]


def _assignment(prompt: str = "Fix it") -> Assignment:
    return Assignment(
        run_id=ids.RunId(ids.fresh()), prompt=prompt, model="claude-sonnet-4-5", limits=Limits(max_turns=7, max_cost_usd=1.5), door=DOOR
    )


def test_a_recorded_run_reads_as_a_story() -> None:
    events = _events("claude_stream")
    assert [event.kind for event in events] == [
        "message",
        "tool_call",
        "tool_result",
        "message",
        "tool_call",
        "tool_result",
        "message",
        "tool_call",
        "tool_result",
        "message",
        "result",
    ]
    assert events[1].name == "Read"
    assert events[-1] == AgentEvent(kind="result", name="success", text="Done: hello.py now says goodbye.")


@pytest.mark.parametrize(
    ("stream", "exit_code", "spending", "expected"),
    [
        ("claude_stream", 0, Spending(), None),
        ("claude_stream", 1, Spending(), "agent_exit"),
        ("claude_stream", 0, Spending(exhausted=True), None),
        ("claude_err_429", 1, Spending(exhausted=True, upstream_status=429), "budget_exceeded"),
        ("claude_max_turns", 1, Spending(), "agent_max_turns"),
        ("claude_err_401", 1, Spending(upstream_status=401), "model_auth"),
        ("claude_err_429", 1, Spending(upstream_status=429), "model_rate_limited"),
        ("claude_err_429", 1, Spending(upstream_status=404), "model_unknown"),
        ("claude_err_429", 0, Spending(), "agent_exit"),
        ("claude_err_429", 137, Spending(), "agent_killed"),
        ("claude_err_429", 143, Spending(upstream_status=529), "agent_killed"),
    ],
)
def test_how_a_run_ended_is_judged_by_its_process_its_last_word_and_the_door(
    stream: str, exit_code: int, spending: Spending, expected: str | None
) -> None:
    assert AGENT.verdict(Ending(exit_code, (_events(stream) or [None])[-1], spending)) == expected


def test_no_last_word_is_no_good_end() -> None:
    assert AGENT.verdict(Ending(0, None, Spending())) == "agent_exit"
    assert AGENT.verdict(Ending(0, AgentEvent(kind="message", text="success", name="success"), Spending())) == "agent_exit"
    assert AGENT.verdict(Ending(0, GOOD, Spending())) is None


@pytest.mark.parametrize("prompt", ["/clear", "-p --help", "a\x00b", "\N{RIGHT-TO-LEFT OVERRIDE}x", "$(id) `id` <<EOF", "\ud800"])
def test_the_prompt_is_on_standard_input_behind_our_own_words_and_nowhere_else(prompt: str) -> None:
    program = AGENT.program(_assignment(prompt))
    assert program.stdin.startswith(b"Work on this task")
    assert program.stdin.endswith(prompt.encode("utf-8", "surrogatepass"))
    assert not any(prompt in argument for argument in program.argv)
    assert "--max-turns" in program.argv
    assert program.environment["ANTHROPIC_API_KEY"] == "worthless"


@given(
    st.text()
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["type", "message", "content", "text", "result", "subtype", "input", "name", "is_error"]) | st.text(), inner
            )
        ),
    ).map(json.dumps)
)
def test_whatever_it_writes_is_an_event_or_nothing(line: str) -> None:
    event = AGENT.parse(line)
    if event is not None:
        event.model_dump_json()


@given(
    st.sampled_from(["assistant", "user", "result"]),
    st.recursive(
        st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["type", "content", "text", "input"]), inner)
    ),
)
def test_a_known_type_with_any_content_breaks_nothing(kind: str, content: object) -> None:
    AGENT.parse(json.dumps({"type": kind, "message": {"content": content}, "result": content}))


def test_a_long_text_is_cut_and_says_so() -> None:
    event = AGENT.parse(json.dumps({"type": "assistant", "message": {"content": [{"type": "text", "text": "x" * (MAX_TEXT + 1)}]}}))
    assert event == AgentEvent(kind="message", text="x" * MAX_TEXT, truncated=True)
