from hypothesis import given
from hypothesis import strategies as st

from services.runner.lines import Line, LineSplitter


def split(*pieces: bytes, limit: int = 10) -> list[Line]:
    splitter = LineSplitter(limit)
    return [line for piece in pieces for line in splitter.feed(piece)] + splitter.flush()


def test_lines_come_whole_however_they_were_cut() -> None:
    assert split(b"a", b"b\nc", b"\n\nd") == [Line("ab"), Line("c"), Line(""), Line("d")]


def test_a_long_line_is_cut_and_says_so() -> None:
    assert split(b"0123456789abc\nshort\n") == [Line("0123456789", cut=True), Line("short")]
    assert split(b"01234", b"56789", b"abc") == [Line("0123456789", cut=True)]


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    assert split(b"\xff\x00\n") == [Line("�\x00")]


@given(st.lists(st.binary(max_size=30), max_size=20))
def test_nothing_is_lost_and_nothing_is_too_long(pieces: list[bytes]) -> None:
    assert split(*pieces, limit=10_000) == split(b"".join(pieces), limit=10_000)
    assert all(len(line.text.encode()) <= 30 for line in split(*pieces, limit=10))
