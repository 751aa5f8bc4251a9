import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from services.audit import keys
from services.audit.errors import KeyUnusable

NAME = "test.example/trail"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "signing.pem"


def test_the_first_start_makes_the_key_and_every_other_finds_it(path: Path) -> None:
    made = keys.load_or_create(path, NAME)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(keys.verifier_key_file(path).stat().st_mode) == 0o644
    assert keys.load_verifier_key(keys.verifier_key_file(path)).public == made.public_key().public_bytes_raw()
    assert keys.load_or_create(path, NAME).private_bytes_raw() == made.private_bytes_raw()


def test_a_key_that_somebody_else_made_is_taken(path: Path) -> None:
    keys.load_or_create(path, NAME)
    keys.verifier_key_file(path).unlink()
    keys.load_or_create(path, NAME)
    assert keys.verifier_key_file(path).exists()


def test_a_key_that_others_can_read_is_refused(path: Path) -> None:
    keys.load_or_create(path, NAME)
    path.chmod(0o640)
    with pytest.raises(KeyUnusable, match="0600"):
        keys.load_or_create(path, NAME)


def test_a_lost_key_is_not_replaced_behind_the_readers_backs(path: Path) -> None:
    keys.load_or_create(path, NAME)
    path.unlink()
    with pytest.raises(KeyUnusable, match="was handed out"):
        keys.load_or_create(path, NAME)


def test_another_key_or_name_than_was_handed_out_is_refused(path: Path, tmp_path: Path) -> None:
    keys.load_or_create(path, NAME)
    with pytest.raises(KeyUnusable, match="another key"):
        keys.load_or_create(path, "other.example/trail")
    keys.load_or_create(tmp_path / "other.pem", NAME)
    (tmp_path / "other.pem").replace(path)
    with pytest.raises(KeyUnusable, match="another key"):
        keys.load_or_create(path, NAME)


@pytest.mark.parametrize("content", [b"", b"no key"])
def test_what_is_no_key_is_refused(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
    with pytest.raises(KeyUnusable):
        keys.load_or_create(path, NAME)


def test_a_key_of_another_kind_is_refused(path: Path) -> None:
    path.touch(mode=0o600)
    key = generate_private_key(SECP256R1())
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    with pytest.raises(KeyUnusable, match="not an Ed25519"):
        keys.load_or_create(path, NAME)


def test_a_verifier_key_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusable):
        keys.load_verifier_key(tmp_path / "none")
