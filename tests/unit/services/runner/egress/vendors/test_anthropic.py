"""What a sandbox may ask of Anthropic's API, and what it may not."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runner.egress.vendors import bodies, price_list
from services.runner.egress.vendors.anthropic import policy, prices
from services.runner.egress.vendors.anthropic.vendor import Anthropic
from services.runner.egress.vendors.pricing import Tokens
from services.runner.egress.vendors.vendor import Asked, Checked, Document, Refused

LISTED = price_list.load()["anthropic"]
GOOD: dict[str, Any] = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 100,
    "stream": True,
    "system": [{"type": "text", "text": "You work.", "cache_control": {"type": "ephemeral"}}],
    "tools": [
        {"name": "Bash", "input_schema": {"type": "object"}},
        {"type": "custom", "name": "Read"},
        {"type": "bash_20250124", "name": "bash"},
    ],
    "messages": [
        {"role": "user", "content": "hello"},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "t", "name": "Bash", "input": {"type": "url", "source": {"type": "url"}}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "x"}]}]},
        {"role": "user", "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "eA=="}}]},
    ],
}


def _raw(body: bytes, path: str = "/v1/messages", method: str = "POST", query: str = "") -> Checked:
    return policy.check(Asked(method, path, query, body), LISTED)


def _check(document: object, path: str = "/v1/messages", method: str = "POST") -> Checked:
    return _raw(json.dumps(document).encode(), path, method)


def test_what_an_agent_needs_passes_and_is_serialised_anew() -> None:
    checked = _raw(b" " + json.dumps(GOOD, indent=3).encode())
    assert (checked.target, checked.price) == ("/v1/messages", LISTED.models["claude-sonnet"])
    assert checked.stream
    assert json.loads(checked.body) == GOOD
    assert not checked.body.startswith(b" ")


def _with_block(block: dict[str, Any]) -> dict[str, Any]:
    return GOOD | {"messages": [{"role": "user", "content": [block]}]}


URL = {"type": "url", "url": "https://attacker.example/x"}
REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("field_denied", GOOD | {"mcp_servers": [{"type": "url", "url": "https://attacker.example"}]}),
    ("field_denied", GOOD | {"container": "c"}),
    ("server_tool_denied", GOOD | {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
    ("server_tool_denied", GOOD | {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]}),
    ("server_tool_denied", GOOD | {"tools": [{"type": "code_execution_20250522", "name": "code_execution"}]}),
    ("server_tool_denied", GOOD | {"tools": [{"type": ["custom"], "name": "x"}]}),
    ("server_tool_denied", GOOD | {"tools": [{"type": "bash_code_execution_20250825", "name": "x"}]}),
    ("server_tool_denied", GOOD | {"tools": [{"type": "custom_of_a_later_day", "name": "x"}]}),
    ("source_denied", _with_block({"type": "image", "source": URL})),
    ("source_denied", _with_block({"type": "document", "source": {"type": "file", "file_id": "f"}})),
    ("source_denied", _with_block({"type": "tool_result", "content": [{"type": "image", "source": URL}]})),
    ("source_denied", _with_block({"type": "document", "source": {"type": "content", "content": [{"type": "image", "source": URL}]}})),
    ("content_denied", _with_block({"type": "container_upload", "file_id": "f"})),
    ("content_denied", _with_block({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}})),
    ("content_denied", _with_block({"type": "mcp_tool_use"})),
    ("content_denied", _with_block({"type": {"x": 1}})),
    ("source_denied", _with_block({"type": "image", "source": {"type": ["url"]}})),
    ("model_missing", {key: value for key, value in GOOD.items() if key != "model"}),
    ("body_invalid", GOOD | {"tools": "all"}),
]


@pytest.mark.parametrize(("reason", "document"), REFUSED)
def test_the_api_s_own_ways_out_are_refused_by_name(reason: str, document: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        _check(document)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/messages"),
        ("POST", "/v1/files"),
        ("POST", "/v1/messages/batches"),
        ("POST", "/v1/messages/../files"),
        ("POST", "//v1/messages"),
        ("DELETE", "/v1/messages"),
    ],
)
def test_other_endpoints_are_refused(method: str, path: str) -> None:
    with pytest.raises(Refused, match="endpoint_denied"):
        _check(GOOD, path, method)


def test_equal_names_are_refused_at_any_depth() -> None:
    with pytest.raises(Refused, match="duplicate_key"):
        _raw(b'{"model": "a", "messages": [{"role": "user", "content": "x", "content": "y"}]}')


def test_a_body_nested_without_end_is_refused() -> None:
    block: dict[str, Any] = {"type": "text", "text": "x"}
    for _ in range(200):
        block = {"type": "tool_result", "content": [block]}
    with pytest.raises(Refused, match="body_too_deep"):
        _check(_with_block(block))
    with pytest.raises(Refused, match="body_invalid"):
        _raw(b"[" * 100_000)


@given(
    st.binary(max_size=300)
    | st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)).map(
        lambda v: json.dumps(v).encode()
    )
)
def test_anything_else_is_a_refusal_and_nothing_worse(body: bytes) -> None:
    with pytest.raises(Refused):
        _raw(body)


def test_betas_that_open_server_side_abilities_are_left_out() -> None:
    assert (
        policy.betas("claude-code-20250219, mcp-client-2025-04-04,files-api-2025-04-14,interleaved-thinking-2025-05-14,")
        == "claude-code-20250219,interleaved-thinking-2025-05-14"
    )


def test_a_body_of_nothing_but_brackets_is_refused_before_it_is_read() -> None:
    for part in (b"[]", b"{}", b'{"a":[1]}'):
        body = b'{"model":"m","messages":[' + b",".join([part] * bodies.MAX_PARTS) + b"]}"
        with pytest.raises(Refused, match="body_too_complex"):
            _raw(body)


@pytest.mark.parametrize("depth", range(100, 1_100, 50))
def test_any_depth_passes_or_is_refused(depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    body = json.dumps(GOOD)[:-1].encode() + b', "metadata": ' + nested + b"}"
    with contextlib.suppress(Refused):
        assert nested in _raw(body).body


@pytest.mark.parametrize("value", [None, "1000", -5, 1e400, True, 10**4_000, [1]])
def test_a_worst_case_can_be_told_of_any_number(value: object) -> None:
    assert 0 <= _check(GOOD | {"max_tokens": value}).worst_usd < 100


@pytest.mark.parametrize("value", [1e5, "100000", None])
def test_a_length_that_only_looks_like_none_counts_as_the_longest(value: object) -> None:
    """Else any number of such requests would fit into what is left of a budget."""
    assert _check(GOOD | {"max_tokens": value}).worst_usd > 10


def test_the_worst_case_knows_the_answers_length_and_speed() -> None:
    plain = _check(GOOD | {"max_tokens": 100_000}).worst_usd
    assert plain == pytest.approx(1.5, rel=0.01)
    assert _check(GOOD | {"max_tokens": 100_000, "speed": "fast"}).worst_usd == pytest.approx(6 * plain, rel=0.01)
    assert _check(GOOD | {"max_tokens": 100_000}, path="/v1/messages/count_tokens").worst_usd == 0


def test_names_of_betas_are_compared_without_case() -> None:
    assert policy.betas("ok-1, MCP-Client-2025-04-04,Files-Api-1") == "ok-1"


def test_what_is_no_name_of_a_beta_is_left_out() -> None:
    assert policy.betas(f"ok-1,\udcff,é,a b,{'x' * 65},-a,\x7f,Skills-1") == "ok-1"
    assert policy.betas("a," * 3_000).count("a") == policy.MAX_BETAS


def test_a_query_passes_only_as_the_client_sends_it() -> None:
    body = json.dumps(GOOD).encode()
    assert _raw(body, query="beta=true").target == "/v1/messages?beta=true"
    with pytest.raises(Refused, match="query_denied"):
        _raw(body, query="upstream=other")


def test_an_unknown_model_is_priced_at_the_dearest() -> None:
    assert prices.price(LISTED, "something-new") == LISTED.dearest
    assert prices.price(LISTED, "claude-opus-4-5-20251101") == LISTED.models["claude-opus-4-5"]
    assert prices.price(LISTED, "claude-opus-4-20250514") == LISTED.models["claude-opus-4"]


def test_what_the_vendor_takes_more_for_is_counted() -> None:
    some = Tokens(fresh=1_000, output=100)
    plain = prices.price(LISTED, "claude-opus-4-5").cost_usd(some)
    assert prices.price(LISTED, "claude-opus-4-5", fast=True).cost_usd(some) == pytest.approx(6 * plain)
    long = Tokens(cache_read=300_000, output=100)
    assert prices.price(LISTED, "claude-sonnet-4-5").cost_usd(long) == pytest.approx((300_000 * 0.3 * 2 + 100 * 15 * 1.5) / 1_000_000)


def test_the_key_goes_where_the_client_would_put_it() -> None:
    sent = {"anthropic-beta": "ok-1,mcp-client-1", "x-forwarded-for": "1.2.3.4", "authorization": "Bearer own"}
    assert Anthropic(LISTED).headers("sk-ant-api03-k", sent) == {
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "ok-1",
        "x-api-key": "sk-ant-api03-k",
    }
    subscription = Anthropic(LISTED).headers("sk-ant-oat01-k", {"anthropic-beta": "ok-1"})
    assert (subscription["authorization"], "x-api-key" in subscription) == ("Bearer sk-ant-oat01-k", False)
    assert subscription["anthropic-beta"] == "oauth-2025-04-20,ok-1"


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, 529),
        ({"type": "error", "error": {"type": "rate_limit_error"}}, 429),
        ({"type": "error", "error": {"type": "authentication_error"}}, 401),
        ({"type": "error", "error": {"type": "of a later day"}}, 500),
        ({"type": "error", "error": {"type": {}}}, 500),
        ({"type": "error", "error": "words"}, 500),
        ({"type": "error"}, 500),
        ({"type": "message_delta", "error": {"type": "overloaded_error"}}, 0),
        ({"error": {"type": "overloaded_error"}}, 0),
    ],
)
def test_a_stream_says_why_it_failed(event: Document, status: int) -> None:
    assert Anthropic(LISTED).failure(event) == status
