"""What comes out of a sandbox as a checkpoint is read byte for byte, or not at all."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runner.checkpoint import CheckpointReader
from services.runner.errors import CheckpointRefused
from services.runner.sandbox import Growth, Taken

TREE = b"a" * 40


def read(room: Path, pieces: list[bytes], max_session: int = 100, max_pack: int = 100) -> Taken:
    reader = CheckpointReader(room, max_session, max_pack)
    try:
        for piece in pieces:
            reader.feed(piece)
        return reader.result()
    finally:
        reader.close()


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("room")


@given(session=st.binary(min_size=1, max_size=60), pack=st.binary(max_size=60), cuts=st.lists(st.integers(0, 250), max_size=12))
def test_however_it_is_cut_it_comes_whole(room: Path, session: bytes, pack: bytes, cuts: list[int]) -> None:
    whole = b"session %d\n%swhole %s\nPACK%s" % (len(session), session, TREE, pack)
    places = [0, *sorted(cuts), len(whole)]
    taken = read(room, [whole[begin:end] for begin, end in itertools.pairwise(places)])
    assert (taken.tree_sha, taken.growth) == (TREE.decode(), Growth.WHOLE)
    assert taken.session.read_bytes() == session
    assert taken.pack.read_bytes() == b"PACK" + pack


@pytest.mark.parametrize("growth", ["same", "base"])
def test_a_known_tree_has_no_pack(room: Path, growth: str) -> None:
    taken = read(room, [b"session 2\n{}%s %s\n" % (growth.encode(), TREE)])
    assert (taken.growth, taken.pack.read_bytes()) == (Growth(growth), b"")


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"session 5\n{}", id="a session that ends early"),
        pytest.param(b"session 2\n{}", id="no tree"),
        pytest.param(b"session 0\nsame " + TREE + b"\n", id="an empty session"),
        pytest.param(b"session 101\n" + b"x" * 101 + b"same " + TREE + b"\n", id="too long a session"),
        pytest.param(b"session 99999999999999999999\n", id="a length without end"),
        pytest.param(b"session -1\n", id="a negative length"),
        pytest.param(b"x" * 4_096, id="a line without end"),
        pytest.param(b"session 2\n{}whole ../../etc\nPACK", id="a tree that is a path"),
        pytest.param(b"session 2\n{}whole " + TREE + b"\n", id="a pack that does not come"),
        pytest.param(b"session 2\n{}whole " + TREE + b"\nTREE", id="a pack that is none"),
        pytest.param(b"session 2\n{}same " + TREE + b"\nPACK", id="a pack that nobody asked for"),
        pytest.param(b"session 2\n{}more " + TREE + b"\nPACK" + b"x" * 200, id="too long a pack"),
        pytest.param(b"session 2\n{}less " + TREE + b"\n", id="a word that is not known"),
    ],
)
def test_anything_else_is_refused(room: Path, said: bytes) -> None:
    with pytest.raises(CheckpointRefused):
        read(room, [said])
    with pytest.raises(CheckpointRefused):
        read(room, [said[place : place + 1] for place in range(len(said))])
