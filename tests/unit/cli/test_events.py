import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.events import MAX_LINE_BYTES, ServerEvent, lines, parse
from cli.exits import CliError


def chunks(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    for size in sizes:
        yield data[:size]
        data = data[size:]
    yield data


@given(st.lists(st.tuples(st.sampled_from(["state", "output"]), st.text(), st.from_regex(r"[0-9]+\.[0-9]+", fullmatch=True))), st.data())
def test_events_survive_any_way_of_cutting_them(events: list[tuple[str, str, str]], data: st.DataObject) -> None:
    wire = "".join(
        f": alive\n\nevent: {name}\nid: {id_}\ndata: {json.dumps({'text': text}, ensure_ascii=False)}\n\n" for name, text, id_ in events
    )
    raw = wire.encode(errors="surrogatepass")
    sizes = data.draw(st.lists(st.integers(0, len(raw)), max_size=8))
    assert list(parse(lines(chunks(raw, sizes)))) == [
        ServerEvent(name, {"text": text.encode("utf-16", "surrogatepass").decode("utf-16")}, id_) for name, text, id_ in events
    ]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_what_only_python_takes_for_a_line_end_is_text(separator: str) -> None:
    text = f"a{separator}b"
    assert list(lines([f"data: {text}\n".encode()])) == [f"data: {text}"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_of_the_format_is_one(end: str) -> None:
    assert list(lines([f"a{end}b{end}{end}c{end}x".encode()])) == ["a", "b", "", "c"]
    assert list(lines(iter([f"{char}".encode() for char in f"a{end}b{end}x"]))) == ["a", "b"]


def test_an_event_cut_short_is_not_given() -> None:
    assert list(parse(['data: {"a": 1}', "id: 1.0"])) == []


def test_a_line_without_an_end_is_refused() -> None:
    with pytest.raises(CliError, match="without an end"):
        list(lines([b"x" * (MAX_LINE_BYTES // 2)] * 3))


def test_what_is_not_json_is_refused() -> None:
    with pytest.raises(CliError, match="not JSON"):
        list(parse(["data: {", ""]))


def test_data_of_several_lines_is_one_document() -> None:
    assert list(parse(["event: x", "data: [1,", "data:2]", "ignored: y", ""])) == [ServerEvent("x", [1, 2], None)]
