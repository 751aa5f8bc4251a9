import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.audit import checkpoint
from services.audit.checkpoint import Checkpoint, VerifierKey
from services.audit.errors import TrailBroken
from services.audit.publication import Publication

NAME = "test.example/trail"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(32))
KEY = VerifierKey(NAME, PRIVATE.public_key().public_bytes_raw())


def note(size: int, private: Ed25519PrivateKey = PRIVATE) -> str:
    return checkpoint.sign(Checkpoint(NAME, size, bytes(32)), NAME, private)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


def test_what_is_published_is_there_for_everyone_to_read(path: Path) -> None:
    publication = Publication(path, KEY)
    assert publication.recover() == []
    publication.publish(note(1))
    publication.publish(note(5))
    assert path.read_text() == f"{note(1)}\n{note(5)}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [point.size for point in Publication(path, KEY).recover()] == [1, 5]


def test_a_torn_end_is_cut_off_and_nothing_else(path: Path) -> None:
    for cut in range(1, len(note(5).encode()) + 1):
        path.write_bytes(f"{note(1)}\n{note(5)}\n".encode()[:-cut])
        assert [point.size for point in Publication(path, KEY).recover()] == [1]
        assert path.read_text() == f"{note(1)}\n"


def test_a_note_that_is_not_ours_stops_everything(path: Path) -> None:
    path.write_text(f"{note(1)}\n{note(5, Ed25519PrivateKey.generate())}\n")
    with pytest.raises(TrailBroken, match="not ours"):
        Publication(path, KEY).recover()


@pytest.mark.parametrize("sizes", [(5, 5), (5, 4)])
def test_a_file_that_goes_back_stops_everything(path: Path, sizes: tuple[int, int]) -> None:
    path.write_text("".join(f"{note(size)}\n" for size in sizes))
    with pytest.raises(TrailBroken, match="goes back"):
        Publication(path, KEY).recover()


def test_a_directory_that_is_not_there_is_an_error_of_the_file_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Publication(tmp_path / "none" / "checkpoints", KEY).publish(note(1))
