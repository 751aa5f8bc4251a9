"""What a sandbox may ask of OpenAI's API, and what it may not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runner.egress.vendors import bodies, price_list
from services.runner.egress.vendors.openai import policy, prices
from services.runner.egress.vendors.openai.vendor import OpenAI
from services.runner.egress.vendors.vendor import Asked, Checked, Document, Refused

FUNCTION = {"type": "function", "name": "exec_command", "parameters": {"type": "object"}}
CUSTOM = {"type": "custom", "name": "apply_patch", "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}}
SAID = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]}
LISTED = price_list.load()["openai"]
GOOD: dict[str, Any] = {
    "model": "gpt-5.5",
    "instructions": "You work.",
    "input": [
        SAID,
        {"role": "developer", "content": "short form"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "so"}], "encrypted_content": "gAAA"},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "exec_command", "arguments": '{"url": "https://x"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "text"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "apply_patch", "input": "*** Begin Patch"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "done"}]},
        {"type": "function_call_output", "call_id": "c3", "output": [{"type": "input_image", "image_url": "data:image/png;base64,eA=="}]},
        {"type": "tool_search_call", "execution": "client", "call_id": "c4", "arguments": {"query": "x"}},
        {"type": "tool_search_output", "execution": "client", "call_id": "c4", "tools": [{"type": "namespace", "tools": [FUNCTION]}]},
        {"type": "additional_tools", "role": "developer", "tools": [{"type": "namespace", "name": "functions", "tools": [CUSTOM]}]},
        {"type": "compaction", "encrypted_content": "gAAA"},
    ],
    "tools": [
        FUNCTION,
        CUSTOM,
        {"type": "local_shell"},
        {"type": "namespace", "name": "n", "tools": [FUNCTION]},
        {"type": "tool_search", "execution": "client"},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"effort": "medium", "context": "all_turns"},
    "text": {"verbosity": "low"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "thread",
    "client_metadata": {"session_id": "s"},
}


def _raw(body: bytes, path: str = "/v1/responses", method: str = "POST", query: str = "") -> Checked:
    return policy.check(Asked(method, path, query, body), LISTED)


def _check(document: object) -> Checked:
    return _raw(json.dumps(document).encode())


def test_what_the_agent_sends_passes_and_is_serialised_anew() -> None:
    checked = _raw(b" " + json.dumps(GOOD, indent=3).encode())
    assert (checked.target, checked.stream, checked.price) == ("/v1/responses", True, LISTED.models["gpt-5.5"])
    sent = json.loads(checked.body)
    assert sent.pop("input")[1].pop("type") == "message"  # said where it was only meant
    assert sent == {name: value for name, value in GOOD.items() if name != "input"}


def test_nothing_is_stored_also_where_nobody_says_so() -> None:
    assert json.loads(_check({name: value for name, value in GOOD.items() if name != "store"}).body)["store"] is False


def _item(**item: Any) -> dict[str, Any]:
    return GOOD | {"input": [SAID, item]}


def _part(**part: Any) -> dict[str, Any]:
    return _item(type="message", role="user", content=[part])


def _tool(**tool: Any) -> dict[str, Any]:
    return GOOD | {"tools": [FUNCTION, tool]}


URL = "https://attacker.example/x"
SERVER_TOOLS: list[dict[str, Any]] = [
    {"type": "web_search"},
    {"type": "web_search_preview"},
    {"type": "file_search", "vector_store_ids": ["vs_1"]},
    {"type": "code_interpreter", "container": {"type": "auto"}},
    {"type": "computer_use_preview"},
    {"type": "computer"},
    {"type": "mcp", "server_label": "x", "server_url": URL},
    {"type": "image_generation"},
    {"type": "shell", "environment": {"type": "container_auto"}},
    {"type": "tool_search"},
    {"type": "tool_search", "execution": "server"},
    {"type": ["function"]},
    {"name": "without a type"},
]
REFUSED: list[tuple[str, dict[str, Any]]] = [
    *(("server_tool_denied", _tool(**tool)) for tool in SERVER_TOOLS),
    *(("server_tool_denied", _tool(type="namespace", name="n", tools=[tool])) for tool in SERVER_TOOLS),
    *(("server_tool_denied", _item(type="additional_tools", role="developer", tools=[tool])) for tool in SERVER_TOOLS),
    ("server_tool_denied", _item(type="tool_search_output", execution="client", call_id="c", tools=[SERVER_TOOLS[0]])),
    ("server_tool_denied", GOOD | {"tool_choice": {"type": "web_search"}}),
    ("server_tool_denied", GOOD | {"tool_choice": {"type": "mcp", "server_label": "x"}}),
    ("server_tool_denied", GOOD | {"tool_choice": ["auto"]}),
    ("field_denied", GOOD | {"previous_response_id": "resp_1"}),
    ("field_denied", GOOD | {"conversation": "conv_1"}),
    ("field_denied", GOOD | {"background": True}),
    ("field_denied", GOOD | {"prompt": {"id": "pmpt_1"}}),
    ("field_denied", GOOD | {"context_management": []}),
    ("field_denied", GOOD | {"metadata": {"x": "y"}}),
    ("field_denied", GOOD | {"service_tier": "scale"}),
    ("field_denied", GOOD | {"service_tier": ["priority"]}),
    ("store_denied", GOOD | {"store": True}),
    ("store_denied", GOOD | {"store": None}),
    ("store_denied", GOOD | {"store": 0}),
    ("include_denied", GOOD | {"include": ["file_search_call.results"]}),
    ("include_denied", GOOD | {"include": ["reasoning.encrypted_content", "message.input_image.image_url"]}),
    ("include_denied", GOOD | {"include": "reasoning.encrypted_content"}),
    ("content_denied", _item(type="item_reference", id="msg_1")),
    ("content_denied", _item(id="msg_1")),
    ("content_denied", _item(role="user")),
    ("content_denied", _item(type="web_search_call", id="ws_1")),
    ("content_denied", _item(type="file_search_call", id="fs_1", queries=["x"])),
    ("content_denied", _item(type="code_interpreter_call", id="ci_1", container_id="c", code="x")),
    ("content_denied", _item(type="computer_call_output", call_id="c", output={"type": "computer_screenshot", "image_url": URL})),
    ("content_denied", _item(type="image_generation_call", id="ig_1")),
    ("content_denied", _item(type="mcp_approval_response", approval_request_id="m", approve=True)),
    ("stored_item_denied", _item(type="reasoning", id="rs_1", summary=[])),
    ("stored_item_denied", _item(type="reasoning", id="rs_1", encrypted_content="")),
    ("stored_item_denied", _item(type="compaction", id="cmp_1", encrypted_content=None)),
    ("source_denied", _part(type="input_image", image_url=URL)),
    ("source_denied", _part(type="input_image", image_url="DATA:image/png;base64,x")),
    ("source_denied", _part(type="input_image", image_url={"url": URL})),
    ("source_denied", _part(type="input_image", file_id="file_1")),
    ("source_denied", _part(type="input_image", image_url="data:image/png;base64,eA==", file_id="file_1")),
    ("source_denied", _part(type="input_text", text="x", image_url=URL)),
    ("source_denied", _item(type="function_call_output", call_id="c", output=[{"type": "input_image", "image_url": URL}])),
    ("content_denied", _part(type="input_file", file_url=URL)),
    ("content_denied", _part(type="input_file", file_data="data:application/pdf;base64,eA==")),
    ("content_denied", _part(type=["input_text"])),
    ("body_invalid", _item(type="function_call_output", call_id="c", output={"type": "input_image", "image_url": URL})),
    ("body_invalid", _item(type="message", role="user", content={"type": "input_image", "image_url": URL})),
    ("body_invalid", GOOD | {"input": {"type": "item_reference", "id": "x"}}),
    ("body_invalid", GOOD | {"input": None}),
    ("body_invalid", GOOD | {"tools": "all"}),
    ("body_invalid", GOOD | {"instructions": [SAID]}),
    ("model_missing", {name: value for name, value in GOOD.items() if name != "model"}),
]


@pytest.mark.parametrize(("reason", "document"), REFUSED)
def test_the_api_s_own_ways_out_are_refused_by_name(reason: str, document: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        _check(document)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/responses"),
        ("GET", "/v1/responses/resp_1"),
        ("POST", "/v1/responses/compact"),
        ("GET", "/v1/models"),
        ("POST", "/v1/files"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/messages"),
        ("POST", "/v1/responses/../files"),
        ("POST", "//v1/responses"),
        ("DELETE", "/v1/responses"),
    ],
)
def test_other_endpoints_are_refused(method: str, path: str) -> None:
    with pytest.raises(Refused, match="endpoint_denied"):
        _raw(json.dumps(GOOD).encode(), path, method)
    with pytest.raises(Refused, match="query_denied"):
        _raw(json.dumps(GOOD).encode(), query="beta=true")


def test_groups_of_tools_end_somewhere() -> None:
    tool: dict[str, Any] = FUNCTION
    for _ in range(10):
        tool = {"type": "namespace", "name": "n", "tools": [tool]}
    with pytest.raises(Refused, match="body_too_deep"):
        _check(_tool(**tool))


def test_equal_names_and_bodies_of_brackets_are_refused() -> None:
    with pytest.raises(Refused, match="duplicate_key"):
        _raw(b'{"model": "a", "store": false, "store": true, "input": "x"}')
    with pytest.raises(Refused, match="body_too_complex"):
        _raw(b'{"model":"m","input":[' + b",".join([b"[]"] * bodies.MAX_PARTS) + b"]}")


@given(
    st.binary(max_size=300)
    | st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)).map(
        lambda value: json.dumps(value).encode()
    )
)
def test_anything_else_is_a_refusal_and_nothing_worse(body: bytes) -> None:
    with pytest.raises(Refused):
        _raw(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["function", "message", "reasoning", "input_text", URL]),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["type", "content", "output", "tools", "image_url", "encrypted_content", "role", "summary"]), inner
        )
    ),
)


@given(st.sampled_from(sorted(policy.BODY_KEYS)), JSON)
def test_any_value_in_any_field_is_judged(name: str, value: object) -> None:
    try:
        checked = _check(GOOD | {name: value})
    except Refused:
        return
    assert json.loads(checked.body)["store"] is False
    assert 0 <= checked.worst_usd < 1_000


def test_the_worst_case_knows_the_answers_length_and_speed() -> None:
    plain = _check(GOOD | {"max_output_tokens": 100_000}).worst_usd
    assert plain == pytest.approx(3.0, rel=0.01)
    assert _check(GOOD).worst_usd == pytest.approx(3.0 * 1.28, rel=0.01)
    assert _check(GOOD | {"service_tier": "priority", "max_output_tokens": 100_000}).worst_usd == pytest.approx(2.5 * plain, rel=0.01)


def test_a_name_is_priced_as_itself_or_as_the_dearest() -> None:
    assert prices.price(LISTED, "gpt-6.1-sol-2026-09-29") == LISTED.models["gpt-6.1-sol"]
    for unknown in ("gpt-5.4-pro-max", "gpt-5", "gpt-7", "", "gpt-5-2026"):
        assert prices.price(LISTED, unknown) == (LISTED.models["gpt-5"] if unknown == "gpt-5" else LISTED.dearest)


def test_the_real_key_is_the_only_one_that_leaves() -> None:
    vendor = OpenAI(LISTED)
    sent = {"authorization": "Bearer own", "openai-organization": "org", "x-api-key": "own", "session-id": "s"}
    assert vendor.headers("sk-real", sent) == {"authorization": "Bearer sk-real"}
    lite = "x-openai-internal-codex-responses-lite"
    assert vendor.headers("sk-real", {lite: "true"}) == {"authorization": "Bearer sk-real", lite: "true"}
    assert vendor.headers("sk-real", {lite: "all"}) == {"authorization": "Bearer sk-real"}
    assert (vendor.token(sent), vendor.token({"x-api-key": "t"})) == ("own", "")


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        (429, b'{"error": {"code": "insufficient_quota"}}', 402),
        (429, b'{"error": {"type": "insufficient_quota", "code": null}}', 402),
        (429, b'{"error": {"code": "rate_limit_exceeded"}}', 429),
        (429, b"<html>", 429),
        (429, b"[" * 100_000, 429),
        (400, b'{"error": {"code": "insufficient_quota"}}', 400),
    ],
)
def test_an_account_without_credit_is_not_one_that_asks_too_often(status: int, body: bytes, meaning: int) -> None:
    assert OpenAI(LISTED).meaning(status, body) == meaning


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ({"type": "response.failed", "response": {"error": {"code": "server_is_overloaded"}}}, 503),
        ({"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded"}}}, 429),
        ({"type": "response.failed", "response": {"error": {"code": "insufficient_quota"}}}, 402),
        ({"type": "response.failed", "response": {"error": {"code": "invalid_image"}}}, 400),
        ({"type": "response.failed", "response": {"error": {"code": ["x"]}}}, 500),
        ({"type": "response.failed", "response": {"error": None}}, 500),
        ({"type": "response.failed"}, 500),
        ({"type": "error", "code": "rate_limit_exceeded", "message": "slow"}, 429),
        ({"type": "error", "error": {"code": "invalid_prompt"}}, 400),
        ({"type": "error", "message": "x"}, 500),
        ({"type": "response.completed", "response": {"error": None}}, 0),
        ({"type": "response.incomplete", "response": {"error": {"code": "server_error"}}}, 0),
        ({"response": {"error": {"code": "server_error"}}}, 0),
    ],
)
def test_a_stream_says_why_it_failed(event: Document, status: int) -> None:
    assert OpenAI(LISTED).failure(event) == status
