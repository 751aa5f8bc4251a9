r"""Signed checkpoints: C2SP tlog-checkpoint in a C2SP signed-note, Ed25519 (https://c2sp.org/tlog-checkpoint, https://c2sp.org/signed-note).

    <origin>\n<size>\n<base64 root>\n\n— <name> <base64(key id || signature)>\n

Pure functions. Must never return a checkpoint whose signature was not verified, but from `parse_unverified`, which says so.
"""

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from services.audit.errors import CheckpointInvalid, KeyUnusable
from services.audit.merkle import HASH_BYTES

ED25519 = b"\x01"
"""Signature type identifier of Ed25519 (signed-note, "Signature types")."""

MAX_NOTE_CHARACTERS = 16_384
"""signed-note: verifiers should limit a note's size, but accept 16 signatures."""

_PUBLIC_KEY_BYTES = 32
_KEY_ID_BYTES = 4
_NAME = re.compile(r"[^\s+\x00-\x1f\x7f]+")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_NOTE = re.compile(r"(?P<text>(?:[^\x00-\x1f]+\n){3,})\n(?P<signatures>(?:— [^\x00-\x20]+ [^\x00-\x20]+\n){1,16})")


@dataclass(frozen=True)
class Checkpoint:
    """How large the log was, and its root then."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The note text, which is what is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True)
class VerifierKey:
    """A log's public key under its name, written `name+keyid+base64(type || key)` as Go's sumdb notes do."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise KeyUnusable("a key's name is not empty and has no space, control character or plus sign")
        if len(self.public) != _PUBLIC_KEY_BYTES:
            raise KeyUnusable(f"an Ed25519 public key is {_PUBLIC_KEY_BYTES} bytes")

    @property
    def key_id(self) -> bytes:
        """SHA-256(name || 0x0A || type || key)[:4]."""
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:_KEY_ID_BYTES]

    def encode(self) -> str:
        """The verifier key as text."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(ED25519 + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `encode` wrote. Raises KeyUnusable."""
        name, _, rest = text.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        try:
            material = _decode(encoded)
        except ValueError as error:
            raise KeyUnusable("a verifier key reads name+keyid+base64") from error
        if material[:1] != ED25519:
            raise KeyUnusable("the verifier key is not an Ed25519 key")
        key = cls(name, material[1:])
        if key.key_id.hex() != key_id:
            raise KeyUnusable(f"the verifier key's id is {key.key_id.hex()}, not {key_id}")
        return key


def sign(checkpoint: Checkpoint, name: str, private: Ed25519PrivateKey) -> str:
    """The signed note of a checkpoint. The caller answers for never signing two inconsistent ones."""
    key = VerifierKey(name, private.public_key().public_bytes_raw())
    text = checkpoint.text()
    signature = base64.b64encode(key.key_id + private.sign(text.encode())).decode()
    return f"{text}\n— {name} {signature}\n"


def verify(note: str, key: VerifierKey) -> Checkpoint:
    """The checkpoint in a note that `key` signed; signatures by other keys are ignored, as signed-note demands.

    Raises CheckpointInvalid.
    """
    text, signatures = _open(note)
    mine = [signature for name, key_id, signature in signatures if (name, key_id) == (key.name, key.key_id)]
    if not mine:
        found = ", ".join(f"{name}+{key_id.hex()}" for name, key_id, _ in signatures)
        raise CheckpointInvalid(f"no signature by the expected key: expected {key.name}+{key.key_id.hex()}, got {found}")
    public = Ed25519PublicKey.from_public_bytes(key.public)
    for signature in mine:
        try:
            public.verify(signature, text.encode())
        except InvalidSignature as error:
            raise CheckpointInvalid(f"the signature by {key.name}+{key.key_id.hex()} is wrong") from error
    checkpoint = _read_text(text)
    if checkpoint.origin != key.name:
        raise CheckpointInvalid(f"the checkpoint is of another log: expected {key.name}, got {checkpoint.origin}")
    return checkpoint


def parse_unverified(note: str) -> Checkpoint:
    """What a note says, whoever signed it: for naming what is wrong with it, never for trusting it. Raises CheckpointInvalid."""
    return _read_text(_open(note)[0])


def split_notes(published: str) -> tuple[list[str], str]:
    """The notes of a file of notes, each followed by an empty line, and what is left after the last whole one (a torn write)."""
    notes: list[str] = []
    at = 0
    while (match := _NOTE.match(published, at)) and published.startswith("\n", match.end()):
        notes.append(match.group())
        at = match.end() + 1
    return notes, published[at:]


def _open(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    match = _NOTE.fullmatch(note) if len(note) <= MAX_NOTE_CHARACTERS else None
    if match is None:
        raise CheckpointInvalid("the checkpoint is not a signed note")
    return match["text"], list(_signatures(match["signatures"]))


def _signatures(block: str) -> Iterator[tuple[str, bytes, bytes]]:
    for line in block.removesuffix("\n").split("\n"):
        _, name, encoded = line.split(" ")
        try:
            blob = _decode(encoded)
        except ValueError as error:
            raise CheckpointInvalid("a signature of the checkpoint is not base64") from error
        yield name, blob[:_KEY_ID_BYTES], blob[_KEY_ID_BYTES:]


def _read_text(text: str) -> Checkpoint:
    origin, size, encoded, *_extensions = text.removesuffix("\n").split("\n")
    try:
        root = _decode(encoded)
    except ValueError as error:
        raise CheckpointInvalid("the checkpoint's root is not base64") from error
    if not _SIZE.fullmatch(size) or len(root) != HASH_BYTES:
        raise CheckpointInvalid("the checkpoint has no size and root in their places")
    return Checkpoint(origin, int(size), root)


def _decode(encoded: str) -> bytes:
    """RFC 4648 §4 in its one spelling: unused bits are zero (§3.5), so that no two notes mean the same. Raises ValueError."""
    decoded = base64.b64decode(encoded, validate=True)
    if base64.b64encode(decoded).decode() != encoded:
        raise ValueError("not the canonical base64")
    return decoded
