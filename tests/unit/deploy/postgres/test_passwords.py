"""Passwords of roles: made once, kept private, sent only as what cannot be turned back."""

import base64
import hmac
from pathlib import Path

import pytest

from deploy.postgres.apply import password, password_file, scram_verifier
from shared.secrets import NotPrivate


def test_a_password_is_made_once_and_kept(tmp_path: Path) -> None:
    directory = tmp_path / "passwords"
    first = password(directory, "async_code_gateway")
    assert len(first) >= 43
    assert password(directory, "async_code_gateway") == first
    assert password(directory, "async_code_scheduler") != first
    assert password_file(directory, "async_code_gateway").stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("content", ["", "\n", "with space", "pässword", "two\nlines"])
def test_a_password_that_could_be_read_in_two_ways_is_refused(tmp_path: Path, content: str) -> None:
    path = password_file(tmp_path, "async_code_gateway")
    path.touch(mode=0o600)
    path.write_text(content)
    with pytest.raises(ValueError, match="printable ASCII"):
        password(tmp_path, "async_code_gateway")


def test_a_password_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = password_file(tmp_path, "async_code_gateway")
    path.touch(mode=0o600)
    path.write_text("operators-own-password")
    path.chmod(0o640)
    with pytest.raises(NotPrivate):
        password(tmp_path, "async_code_gateway")


def test_the_verifier_answers_the_example_of_rfc_7677() -> None:
    """RFC 7677, §3: user `user`, password `pencil`; the server's signature follows from the server key of the verifier."""
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    exchange = f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}"
    verifier = scram_verifier("pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="))
    server_key = base64.b64decode(verifier.rpartition(":")[2])
    signature = hmac.digest(server_key, exchange.encode(), "sha256")
    assert base64.b64encode(signature).decode() == "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    assert verifier.startswith("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$")
