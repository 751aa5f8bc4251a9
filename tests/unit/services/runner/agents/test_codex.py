"""Codex's own words, read with distrust."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from services.runner.agents.adapter import Assignment, Ending
from services.runner.agents.codex import Codex
from services.runner.container import WORKSPACE
from services.runner.doors import Door, Refused, Spending
from shared.events import failures, ids
from shared.events.output import MAX_TEXT, AgentEvent
from shared.events.values import Limits

VECTORS = Path(__file__).parents[4] / "vectors" / "codex"
AGENT = Codex()
DOOR = Door(Path("/run/x"), "model.sock", SecretStr("worthless"))
GOOD = AgentEvent(kind="result", name="success")
TURNS = Spending(refusals=(Refused("turns_used_up", "0" * 64),))


def _events(name: str) -> list[AgentEvent]:
    events = (AGENT.parse(line) for line in (VECTORS / f"{name}.jsonl").read_text().splitlines())
    return [event for event in events if event is not None]


def _assignment(prompt: str = "Fix it", model: str | None = "gpt-5.5") -> Assignment:
    return Assignment(run_id=ids.RunId(ids.fresh()), prompt=prompt, model=model, limits=Limits(max_turns=7, max_cost_usd=1.5), door=DOOR)


def test_a_recorded_run_reads_as_a_story() -> None:
    events = _events("codex_exec")
    assert [event.kind for event in events] == [
        "message",
        *("tool_call", "tool_result", "message"),
        *("tool_call", "tool_result", "message"),
        *("tool_call", "tool_result", "message"),
        "result",
    ]
    assert (events[4].name, events[4].text) == ("file_change", "update /workspace/hello.py\nadd /workspace/notes.md")
    assert events[8].text == "goodbye\n?? hello.py\n?? notes.md\n"
    assert events[-1] == GOOD


@pytest.mark.parametrize(
    ("stream", "exit_code", "spending", "expected"),
    [
        ("codex_exec", 0, Spending(), None),
        ("codex_exec", 1, Spending(), "agent_exit"),
        ("codex_exec", 0, Spending(exhausted=True), None),
        ("codex_err_401", 1, Spending(upstream_status=401), "model_auth"),
        ("codex_err_500", 1, Spending(exhausted=True, upstream_status=500), "budget_exceeded"),
        ("codex_err_500", 1, Spending(upstream_status=500), "model_overloaded"),
        ("codex_err_500", 1, TURNS, "agent_max_turns"),
        ("codex_err_500", 1, Spending(), "agent_exit"),
        ("codex_err_500", 0, Spending(), "agent_exit"),
        ("codex_err_500", 137, Spending(), "agent_killed"),
        ("codex_err_500", 143, Spending(upstream_status=500), "agent_killed"),
    ],
)
def test_how_a_run_ended_is_judged_by_its_process_its_last_word_and_the_door(
    stream: str, exit_code: int, spending: Spending, expected: str | None
) -> None:
    assert AGENT.verdict(Ending(exit_code, _events(stream)[-1], spending)) == expected
    assert expected is None or expected in failures.CODES


def test_no_last_word_is_no_good_end() -> None:
    assert AGENT.verdict(Ending(0, None, Spending())) == "agent_exit"
    assert AGENT.verdict(Ending(0, AgentEvent(kind="message", text="success", name="success"), Spending())) == "agent_exit"
    assert AGENT.verdict(Ending(0, GOOD, Spending())) is None


def test_what_the_api_said_is_shown() -> None:
    assert [(event.kind, event.name) for event in _events("codex_err_401")] == [("log", "error")] * 3 + [("result", "error")]
    assert "401" in _events("codex_err_401")[-1].text


@pytest.mark.parametrize("prompt", ["/clear", "-p --help", "-", "a\x00b", "\N{RIGHT-TO-LEFT OVERRIDE}x", "$(id) `id` <<EOF", "\ud800"])
def test_the_prompt_is_on_standard_input_behind_our_own_words_and_nowhere_else(prompt: str) -> None:
    program = AGENT.program(_assignment(prompt))
    assert program.stdin.startswith(b"Work on this task")
    assert program.stdin.endswith(prompt.encode("utf-8", "surrogatepass"))
    assert prompt == "-" or not any(prompt in argument for argument in program.argv)
    assert program.argv[-1] == "-"
    assert program.environment["LLM_KEY"] == "worthless"


def test_a_repository_is_never_trusted_to_set_anything_up() -> None:
    argv = AGENT.program(_assignment()).argv
    assert f'projects={{"{WORKSPACE}"={{trust_level="untrusted"}}}}' in argv
    assert "features.hooks=false" in argv


def test_without_a_model_named_the_agent_chooses() -> None:
    assert "--model" not in AGENT.program(_assignment(model=None)).argv
    argv = AGENT.program(_assignment()).argv
    assert argv[argv.index("--model") + 1] == "gpt-5.5"


def test_every_kind_of_item_is_told_once_it_says_something() -> None:
    def of(kind: str, **item: object) -> AgentEvent | None:
        return AGENT.parse(json.dumps({"type": kind, "item": item}))

    failed = of("item.completed", type="command_execution", aggregated_output="no", exit_code=2)
    assert failed == AgentEvent(kind="tool_result", name="command_execution", text="no\n(exit code 2)")
    assert of("item.completed", type="reasoning", text="Hm.") == AgentEvent(kind="message", name="reasoning", text="Hm.")
    assert of("item.completed", type="error", message="odd") == AgentEvent(kind="log", name="error", text="odd")
    assert of("item.started", type="agent_message", text="") is None
    assert of("item.updated", type="todo_list") is None
    assert of("item.started", id="i", type="mcp_tool_call", tool="t") == AgentEvent(
        kind="tool_call", name="mcp_tool_call", text='{"tool": "t"}'
    )
    assert AGENT.parse("not JSON") == AgentEvent(kind="log", text="not JSON")
    assert AGENT.parse(" ") is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["command_execution", "file_change", "todo_list"]),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["type", "item", "text", "message", "error", "changes", "command", "exit_code"]) | st.text(), inner
        )
    ),
)


@given(st.text() | JSON.map(json.dumps))
def test_whatever_it_writes_is_an_event_or_nothing(line: str) -> None:
    event = AGENT.parse(line)
    if event is not None:
        event.model_dump_json()


@given(st.sampled_from(["item.started", "item.completed", "error", "turn.failed", "turn.completed"]), JSON)
def test_a_known_type_with_any_content_breaks_nothing(kind: str, content: object) -> None:
    event = AGENT.parse(json.dumps({"type": kind, "item": content, "error": content, "message": content}))
    if event is not None:
        event.model_dump_json()


def test_a_long_text_is_cut_and_says_so() -> None:
    line = json.dumps({"type": "item.completed", "item": {"type": "agent_message", "text": "x" * (MAX_TEXT + 1)}})
    assert AGENT.parse(line) == AgentEvent(kind="message", text="x" * MAX_TEXT, truncated=True)
