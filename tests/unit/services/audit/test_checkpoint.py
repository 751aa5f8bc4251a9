import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from services.audit import checkpoint
from services.audit.checkpoint import Checkpoint, VerifierKey
from services.audit.errors import CheckpointInvalid, KeyUnusable

NAME = "async-code.example/trail"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = VerifierKey(NAME, PRIVATE.public_key().public_bytes_raw())
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
POINT = Checkpoint(NAME, 20852163, bytes(range(32)))

PUBLISHED_BY_C2SP = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)
"""The example of the tlog-checkpoint specification."""

GO_EXAMPLE = VerifierKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
"""The verifier key in the documentation of Go's golang.org/x/mod/sumdb/note: another implementation of the same format."""


def test_a_note_is_these_exact_bytes() -> None:
    assert checkpoint.sign(POINT, NAME, PRIVATE) == (
        "async-code.example/trail\n20852163\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n"
        "— async-code.example/trail "
        "BNkZTRvR7OzY8GeK12273l0dc6jqm56Itmjnrmr1j+EDoB8PkARXsNflZfOpZWa2v1G+jMkdSNyfFBGm8HboMApyPQY=\n"
    )


def test_go_and_we_agree_on_the_id_of_a_key() -> None:
    assert GO_EXAMPLE.key_id.hex() == "c74f20a3"
    assert GO_EXAMPLE.encode() == "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


def test_the_specifications_example_is_read() -> None:
    read = checkpoint.parse_unverified(PUBLISHED_BY_C2SP)
    assert (read.origin, read.size, read.root.hex()[:8]) == ("example.com/behind-the-sofa", 20852163, "0ac5186a")


@given(st.integers(min_value=0, max_value=2**62), st.binary(min_size=32, max_size=32))
def test_what_is_signed_is_read_back(size: int, root: bytes) -> None:
    point = Checkpoint(NAME, size, root)
    assert checkpoint.verify(checkpoint.sign(point, NAME, PRIVATE), KEY) == point


@given(st.integers(min_value=0))
def test_any_flipped_bit_of_a_note_is_refused(bit: int) -> None:
    note = checkpoint.sign(POINT, NAME, PRIVATE).encode()
    at = bit % (len(note) * 8)
    changed = bytes(byte ^ (1 << at % 8 if number == at // 8 else 0) for number, byte in enumerate(note))
    with pytest.raises((CheckpointInvalid, UnicodeDecodeError)):
        checkpoint.verify(changed.decode(), KEY)


def test_a_note_signed_by_another_key_says_which_was_expected() -> None:
    with pytest.raises(CheckpointInvalid, match=rf"expected {NAME}\+{KEY.key_id.hex()}, got {NAME}\+[0-9a-f]{{8}}"):
        checkpoint.verify(checkpoint.sign(POINT, NAME, OTHER), KEY)


def test_signatures_by_unknown_keys_are_ignored() -> None:
    mine, witness = checkpoint.sign(POINT, NAME, PRIVATE), checkpoint.sign(POINT, "witness.example", OTHER)
    assert checkpoint.verify(mine + witness.split("\n\n")[1], KEY) == POINT


def test_a_right_signature_does_not_save_a_wrong_one() -> None:
    mine = checkpoint.sign(POINT, NAME, PRIVATE)
    forged = base64.b64encode(KEY.key_id + bytes(64)).decode()
    with pytest.raises(CheckpointInvalid, match="is wrong"):
        checkpoint.verify(f"{mine}— {NAME} {forged}\n", KEY)


def test_a_checkpoint_of_another_log_is_refused() -> None:
    with pytest.raises(CheckpointInvalid, match="another log"):
        checkpoint.verify(checkpoint.sign(Checkpoint("other.example", 1, bytes(32)), NAME, PRIVATE), KEY)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "async-code.example/trail\n1\n",
        POINT.text(),
        POINT.text() + "\n",
        "a\n01\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n— a AAAA\n",
        "a\n-1\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n— a AAAA\n",
        "a\n1\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==\n\n— a AAAA\n",
        "a\n1\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=\n\n— a AAAA\n",
        "a\r\n1\r\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\r\n\n— a AAAA\n",
        "a\n1\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n— a !!!!\n",
        "x" * 20_000,
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(CheckpointInvalid):
        checkpoint.parse_unverified(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        f"{NAME}+00000000+{base64.b64encode(checkpoint.ED25519 + KEY.public).decode()}",
        KEY.encode() + "=",
        f"{NAME}+00000000+AAAA",
        "a b+1+AQ==",
    ],
)
def test_what_is_no_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(KeyUnusable):
        VerifierKey.parse(text)


@pytest.mark.parametrize("name", ["", "with space", "with+plus", "with\nnewline"])
def test_a_name_that_breaks_the_format_is_refused(name: str) -> None:
    with pytest.raises(KeyUnusable):
        VerifierKey(name, bytes(32))


def test_a_file_of_notes_is_split_and_a_torn_end_kept_apart() -> None:
    notes = [checkpoint.sign(Checkpoint(NAME, size, bytes(32)), NAME, PRIVATE) for size in (1, 2, 3)]
    whole = "".join(f"{note}\n" for note in notes)
    assert checkpoint.split_notes(whole) == (notes, "")
    for cut in range(1, len(notes[2]) + 1):
        assert checkpoint.split_notes(whole[:-cut]) == (notes[:2], whole[len(notes[0]) + len(notes[1]) + 2 : -cut])
