from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runner.errors import CheckoutFailed, HarvestInvalid, ResultTooLarge, RunFailure
from services.runner.harvest import HarvestReader, elsewhere
from services.runner.sandbox import Elsewhere, Harvest

TREE = "0123456789abcdef0123456789abcdef01234567"


def read(pack: Path, *pieces: bytes, limit: int = 1_000) -> Harvest:
    reader = HarvestReader(pack, limit)
    try:
        for piece in pieces:
            reader.feed(piece)
        return reader.result()
    finally:
        reader.close()


def test_a_tree_and_its_pack(tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    assert read(pack, b"tr", b"ee " + TREE.encode() + b" 2 3\nPA", b"CK\0\0\n\nrest") == Harvest(TREE, pack, 2, 3)
    assert pack.read_bytes() == b"PACK\0\0\n\nrest"


def test_the_same_tree_has_no_pack(tmp_path: Path) -> None:
    assert read(tmp_path / "pack", b"same " + TREE.encode() + b" 0 0\n") == Harvest(TREE, None, 0)
    assert read(tmp_path / "pack", b"same " + TREE.encode() + TREE[:24].encode() + b" 0 0\n").pack is None


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"tree",
        b"\n",
        b"tree " + TREE.encode() + b" 0 0\n",
        b"tree " + TREE.encode() + b" 0 0\nPAC",
        b"tree " + TREE.encode() + b" 0 0\nJUNK",
        b"tree " + TREE[:-1].encode() + b" 0 0\nPACK",
        b"tree " + TREE.upper().encode() + b" 0 0\nPACK",
        b"tree " + TREE.encode() + b"\nPACK",
        b"tree " + TREE.encode() + b" 0\nPACK",
        b"tree " + TREE.encode() + b" 0 -1\nPACK",
        b"tree " + TREE.encode() + b" -1 0\nPACK",
        b"tree  " + TREE.encode() + b" 0 0\nPACK",
        b"tree " + TREE.encode() + b" 0 0\r\nPACK",
        b"same " + TREE.encode() + b" 0 0\nPACK",
        b"same " + TREE.encode() + b" 0 0\n\n",
        b"x" * 200,
    ],
)
def test_anything_else_is_refused(tmp_path: Path, said: bytes) -> None:
    with pytest.raises(HarvestInvalid):
        read(tmp_path / "pack", said)


def test_no_more_than_the_limit_is_written(tmp_path: Path) -> None:
    with pytest.raises(ResultTooLarge):
        read(tmp_path / "pack", b"tree " + TREE.encode() + b" 0 0\nPACK", *[b"x" * 100] * 10)
    assert (tmp_path / "pack").stat().st_size <= 1_000


@given(said=st.binary(max_size=300), cut=st.integers(0, 300))
def test_no_bytes_do_anything_but_fail(tmp_path_factory: pytest.TempPathFactory, said: bytes, cut: int) -> None:
    pack = tmp_path_factory.getbasetemp() / "fuzzed"
    try:
        read(pack, said[:cut], said[cut:])
    except RunFailure:
        return
    assert said.startswith((b"tree ", b"same "))


def test_what_lies_elsewhere_is_the_first_line_alone() -> None:
    assert elsewhere("lfs 0 submodules 0\n") == Elsewhere()
    assert elsewhere("lfs 3 submodules 1\nwarning: lfs 9 submodules 9\n") == Elsewhere(lfs_pointers=3, submodules=1)
    for said in ("", "warning: x\nlfs 3 submodules 1\n", "lfs 3 submodules 1", "lfs -1 submodules 0\n", "lfs 1234567890 submodules 0\n"):
        with pytest.raises(CheckoutFailed):
            elsewhere(said)
