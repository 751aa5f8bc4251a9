"""What a response cost, from its own totals."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runner.egress import prices
from services.runner.egress.metering import MAX_LINE, ResponseMeter


def _event(document: dict[str, Any]) -> bytes:
    return f"event: {document['type']}\ndata: {json.dumps(document)}\n\n".encode()


STREAM = b"".join(
    [
        _event(
            {"type": "message_start", "message": {"usage": {"input_tokens": 1_000, "cache_read_input_tokens": 500, "output_tokens": 1}}}
        ),
        _event({"type": "content_block_delta", "delta": {"text": 'a line that says "usage"'}}),
        _event({"type": "message_delta", "usage": {"output_tokens": 120}}),
        _event({"type": "message_delta", "usage": {"output_tokens": 200}}),
        _event({"type": "message_stop"}),
    ]
)


@given(st.lists(st.integers(min_value=1, max_value=len(STREAM)), max_size=20))
def test_a_stream_is_read_the_same_however_it_is_cut(cuts: list[int]) -> None:
    meter, begin = ResponseMeter("claude-sonnet-4-5", stream=True), 0
    for end in [*sorted(cuts), len(STREAM)]:
        meter.feed(STREAM[begin:end])
        begin = end
    meter.finish()
    assert (meter.input_tokens, meter.output_tokens) == (1_500, 200)
    assert meter.cost_usd == pytest.approx((1_000 * 3 + 500 * 0.3 + 200 * 15) / 1_000_000)


def test_a_stream_that_is_cut_costs_what_was_seen() -> None:
    meter = ResponseMeter("claude-sonnet-4-5", stream=True)
    meter.feed(STREAM[: STREAM.index(b"120") + 20])
    meter.finish()
    assert (meter.input_tokens, meter.output_tokens) == (1_500, 120)


def test_a_whole_answer_is_read_at_its_end() -> None:
    meter = ResponseMeter("claude-haiku-4-5", stream=False)
    meter.feed(b'{"type": "message", "usage": {"input_tokens": 10, "out')
    meter.feed(b'put_tokens": 5}}')
    meter.finish()
    assert (meter.input_tokens, meter.output_tokens) == (10, 5)


@given(st.lists(st.binary(max_size=50), max_size=20), st.booleans())
def test_any_bytes_can_pass(chunks: list[bytes], stream: bool) -> None:
    meter = ResponseMeter("m", stream=stream)
    for chunk in chunks:
        meter.feed(chunk)
    meter.finish()
    assert meter.input_tokens >= 0


def test_an_endless_line_is_not_kept() -> None:
    meter = ResponseMeter("m", stream=True)
    for _ in range(3):
        meter.feed(b"data: " + b"x" * MAX_LINE)
    meter.feed(b"\n" + STREAM)
    meter.finish()
    assert meter.output_tokens == 200


def test_an_unknown_model_is_priced_at_the_dearest() -> None:
    assert prices.price("something-new") == prices.DEAREST
    assert prices.price("claude-opus-4-5-20251101") == prices.PRICES["claude-opus-4-5"]
    assert prices.price("claude-opus-4-20250514") == prices.PRICES["claude-opus-4"]


def test_what_the_vendor_takes_more_for_is_counted() -> None:
    plain = prices.cost_usd("claude-opus-4-5", fresh=1_000, cache_written=0, cache_read=0, output=100)
    assert prices.cost_usd("claude-opus-4-5", fresh=1_000, cache_written=0, cache_read=0, output=100, fast=True) == pytest.approx(6 * plain)
    assert prices.cost_usd("claude-sonnet-4-5", fresh=0, cache_written=0, cache_read=300_000, output=100) == pytest.approx(
        (300_000 * 0.3 * 2 + 100 * 15 * 1.5) / 1_000_000
    )
