"""What a response cost, from its own totals."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runner.egress.metering import MAX_LINE, ResponseMeter, Spent
from services.runner.egress.vendors import price_list
from services.runner.egress.vendors.anthropic.vendor import Anthropic
from services.runner.egress.vendors.openai.vendor import OpenAI
from services.runner.egress.vendors.pricing import FREE, Price
from services.runner.egress.vendors.vendor import Checked


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


LISTS = price_list.load()
ANTHROPIC, OPENAI = Anthropic(LISTS["anthropic"]), OpenAI(LISTS["openai"])


def _meter(*, stream: bool = True, price: Price = LISTS["anthropic"].models["claude-sonnet"], body: bytes = b"{}") -> ResponseMeter:
    return ResponseMeter(ANTHROPIC, Checked("/v1/messages", body, price, stream=stream, max_tokens=10), stream)


def _read(meter: ResponseMeter, *chunks: bytes) -> Spent:
    for chunk in chunks:
        meter.feed(chunk)
    return meter.finish()


@given(st.lists(st.integers(min_value=1, max_value=len(STREAM)), max_size=20))
def test_a_stream_is_read_the_same_however_it_is_cut(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    spent = _read(_meter(), *(STREAM[begin:end] for begin, end in itertools.pairwise(places)))
    assert (spent.input_tokens, spent.output_tokens) == (1_500, 200)
    assert spent.cost_usd == pytest.approx((1_000 * 3 + 500 * 0.3 + 200 * 15) / 1_000_000)


def test_a_stream_that_is_cut_costs_what_was_seen() -> None:
    spent = _read(_meter(), STREAM[: STREAM.index(b"120") + 20])
    assert (spent.input_tokens, spent.output_tokens) == (1_500, 120)


@pytest.mark.parametrize("delta", [{"text": "word" * 500}, {"thinking": "word" * 500}, {"partial_json": "word" * 500}])
def test_a_stream_that_is_cut_costs_the_text_that_passed(delta: dict[str, str]) -> None:
    meter = _meter()
    meter.feed(STREAM[: STREAM.index(b"event: message_delta")] + _event({"type": "content_block_delta", "delta": delta}))
    spent = meter.finish(cut=True)
    assert (spent.input_tokens, spent.output_tokens) == (1_500, 506)


def test_openais_stream_that_is_cut_is_never_charged_less_than_its_text() -> None:
    checked = Checked("/v1/responses", b"{}", LISTS["openai"].models["gpt-6.1-sol"], stream=True, max_tokens=10)
    meter = ResponseMeter(OPENAI, checked, stream=True)
    meter.feed(_event({"type": "response.created", "response": {"usage": {"input_tokens": 9, "output_tokens": 0}}}))
    meter.feed(_event({"type": "response.output_text.delta", "delta": "word" * 500}) + _event({"type": "x.delta", "delta": {"a": 1}}))
    assert meter.finish(cut=True).output_tokens == 500


def test_a_number_past_all_sense_is_money_all_the_same() -> None:
    event = {"type": "message_start", "message": {"usage": {"input_tokens": 10**400, "output_tokens": 1}}}
    assert 0 < _read(_meter(), _event(event)).cost_usd < 1_000_000


def test_a_whole_answer_is_read_at_its_end() -> None:
    spent = _read(_meter(stream=False), b'{"type": "message", "usage": {"input_tokens": 10, "out', b'put_tokens": 5}}')
    assert (spent.input_tokens, spent.output_tokens) == (10, 5)


@given(st.lists(st.binary(max_size=50), max_size=20), st.booleans())
def test_any_bytes_can_pass(chunks: list[bytes], stream: bool) -> None:
    assert _read(_meter(stream=stream), *chunks).cost_usd >= 0


def test_an_endless_line_is_not_kept() -> None:
    endless = [b"data: " + b"x" * MAX_LINE] * 3
    assert _read(_meter(), *endless, b"\n" + STREAM).output_tokens == 200


def test_an_answer_without_totals_is_charged_by_its_length() -> None:
    text = b"data: " + b"x" * 3_994
    assert _read(_meter(body=b"y" * 400), text) == Spent(100, 1_000, (100 * 3 + 1_000 * 15) / 1_000_000)
    assert _read(_meter(body=b"y" * 400, price=FREE, stream=False), b'{"input_tokens": 9}') == Spent()


USAGE = {
    "input_tokens": 5_000,
    "input_tokens_details": {"cached_tokens": 2_000, "cache_write_tokens": 1_000},
    "output_tokens": 300,
    "output_tokens_details": {"reasoning_tokens": 250},
    "total_tokens": 5_300,
}


@pytest.mark.parametrize("ending", ["response.completed", "response.incomplete", "response.failed"])
def test_openais_totals_stand_in_the_last_event_and_the_cached_are_part_of_the_input(ending: str) -> None:
    checked = Checked("/v1/responses", b"{}", LISTS["openai"].models["gpt-6.1-sol"], stream=True, max_tokens=10)
    begun = _event({"type": "response.created", "response": {"usage": None}})
    spent = _read(ResponseMeter(OPENAI, checked, stream=True), begun, _event({"type": ending, "response": {"usage": USAGE}}))
    cost = (2_000 * 2 + 1_000 * 2.5 + 2_000 * 0.1 + 300 * 10) / 1_000_000
    assert (spent.input_tokens, spent.output_tokens, spent.cost_usd) == (5_000, 300, pytest.approx(cost))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["response", "usage", "message", "input_tokens", "input_tokens_details", "cached_tokens", "output_tokens"]),
                inner,
            )
        ),
    )
)
def test_totals_of_any_shape_break_nothing_and_never_give_money_back(event: object) -> None:
    for vendor in (ANTHROPIC, OPENAI):
        checked = Checked("/", b"{}", LISTS["anthropic"].dearest, stream=True, max_tokens=10)
        assert _read(ResponseMeter(vendor, checked, stream=True), b"data: " + json.dumps(event).encode() + b"\n").cost_usd >= 0


OVERLOADED = _event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})


def test_an_answer_that_says_it_failed_is_heard_and_costs_what_it_shows() -> None:
    begun = STREAM[: STREAM.index(b"120") + 20]
    for stream, cost in ((OVERLOADED, (0, 0)), (begun + OVERLOADED, (1_500, 120)), (STREAM, (1_500, 200))):
        meter = _meter(body=b"x" * 4_000)
        spent = _read(meter, stream[:20], stream[20:])
        assert (meter.failure, (spent.input_tokens, spent.output_tokens)) == (529 if stream.endswith(OVERLOADED) else 0, cost)


def test_what_a_text_says_of_errors_is_no_failure() -> None:
    meter = _meter()
    _read(
        meter,
        STREAM,
        _event({"type": "content_block_delta", "delta": {"text": OVERLOADED.decode()}, "error": {"type": "overloaded_error"}}),
    )
    assert meter.failure == 0
