"""One step in either vendor's protocol: what a client would read, whole or as a stream."""

import json
from typing import Any

import pytest

from deploy.embedded.scripted.anthropic import Messages
from deploy.embedded.scripted.openai import Responses
from deploy.embedded.scripted.steps import Call, Edit, Run, Say, Work
from deploy.embedded.scripted.vendor import Turn

PATCH = "*** Begin Patch\n*** Update File: a.py\n@@\n-x\n+y\n+z\n*** End Patch\n"
OFFERED = [{"type": "function", "name": "exec_command"}, {"type": "custom", "name": "apply_patch"}]


def _turn(work: Work, **body: Any) -> Turn:
    return Turn({"model": "m", **body}, work, number=3, done=2, input_tokens=1_000, output_tokens=200)


@pytest.mark.parametrize(
    ("work", "name", "given"),
    [
        (Run("true", "I try."), "Bash", {"command": "true", "description": "run"}),
        (Edit("a.py", "x", "y\nz"), "Edit", {"file_path": "a.py", "old_string": "x", "new_string": "y\nz"}),
        (Call("Glob", {"pattern": "*"}), "Glob", {"pattern": "*"}),
    ],
)
def test_a_call_in_anthropics_protocol(work: Work, name: str, given: dict[str, Any]) -> None:
    turn = _turn(work)
    whole = Messages().whole(turn)
    assert whole["content"][-1] == {"type": "tool_use", "id": "toolu_scripted_2", "name": name, "input": given}
    assert (whole["stop_reason"], whole["usage"]["output_tokens"]) == ("tool_use", 200)
    events = Messages().events(turn)
    streamed = [event["delta"]["partial_json"] for event in events if event.get("delta", {}).get("type") == "input_json_delta"]
    assert [json.loads(part) for part in streamed] == [given]
    assert (events[0]["type"], events[-1]["type"]) == ("message_start", "message_stop")


@pytest.mark.parametrize(
    ("work", "item"),
    [
        (Run("true"), {"type": "function_call", "name": "exec_command", "arguments": '{"cmd": "true"}'}),
        (Edit("a.py", "x", "y\nz"), {"type": "custom_tool_call", "name": "apply_patch", "input": PATCH}),
        (Call("update_plan", {"plan": []}), {"type": "function_call", "name": "update_plan", "arguments": '{"plan": []}'}),
    ],
)
def test_a_call_in_openais_protocol(work: Work, item: dict[str, Any]) -> None:
    turn = _turn(work, tools=OFFERED)
    (call,) = Responses().whole(turn)["output"]
    assert item.items() <= call.items()
    assert call["call_id"] == "call_scripted_2"
    events = Responses().events(turn)
    assert [event["item"] for event in events if event["type"] == "response.output_item.done"] == [call]
    assert events[-1]["response"] == Responses().whole(turn)


def test_words_in_both() -> None:
    turn = _turn(Say("Done."))
    assert Messages().whole(turn)["content"] == [{"type": "text", "text": "Done."}]
    assert Messages().whole(turn)["stop_reason"] == "end_turn"
    (message,) = Responses().whole(turn)["output"]
    assert message["content"][0]["text"] == "Done."
    assert Responses().whole(turn)["usage"]["total_tokens"] == 1_200


def test_answered_calls_are_counted_and_conversations_told_apart() -> None:
    results = [{"role": "user", "content": [{"type": "tool_result"}, {"type": "text"}]}, {"role": "user", "content": "x"}]
    assert Messages().done({"messages": results}) == 1
    assert Responses().done({"input": [{"type": "function_call_output"}, {"type": "message"}, {"type": "custom_tool_call_output"}]}) == 2
    assert Responses().done({"input": "only words"}) == 0
    assert Messages().conversation({"metadata": {"user_id": "u"}, "messages": results}) == "u"
    assert Messages().conversation({"messages": results}) == Messages().conversation({"messages": results[:1]})
    assert Responses().conversation({"prompt_cache_key": "thread"}) == "thread"
    assert Responses().conversation({"input": [{"content": "a"}]}) != Responses().conversation({"input": [{"content": "b"}]})
