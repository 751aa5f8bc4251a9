"""Key pairs of one service: X25519, named by a digest of their public part."""

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from shared.secrets.errors import InvalidKeyring
from shared.secrets.files import write_public

KEY_ID_BYTES: Final = 8
KEY_BYTES: Final = 32


@dataclass(frozen=True)
class PublicKey:
    """What a sender needs to seal for one service. Not secret."""

    raw: bytes

    @property
    def id(self) -> str:
        """16 hexadecimal digits that name the key pair."""
        return hashlib.sha256(b"async-code/key/v1" + self.raw).digest()[:KEY_ID_BYTES].hex()

    def export(self, path: Path) -> None:
        """Write it to a file that anyone may read."""
        document = {"version": 1, "key_id": self.id, "public": base64.b64encode(self.raw).decode()}
        write_public(path, json.dumps(document).encode() + b"\n")

    @classmethod
    def load(cls, path: Path) -> "PublicKey":
        """Read such a file. Raises InvalidKeyring, OSError."""
        document = parse(path.read_bytes())
        key = cls(decode(document.get("public")))
        if document.get("version") != 1 or document.get("key_id") != key.id:
            raise InvalidKeyring(f"{path.name} is not a public key of this form")
        return key

    def hpke(self) -> X25519PublicKey:
        """For the library."""
        return X25519PublicKey.from_public_bytes(self.raw)


@dataclass(frozen=True)
class KeyPair:
    """A private key and when it was made."""

    private: bytes = field(repr=False)
    created_at: datetime

    @classmethod
    def generate(cls) -> "KeyPair":
        """A new one, from the system's randomness."""
        return cls(X25519PrivateKey.generate().private_bytes_raw(), datetime.now(UTC).replace(microsecond=0))

    @property
    def public(self) -> PublicKey:
        """Its public part."""
        return PublicKey(self.hpke().public_key().public_bytes_raw())

    def hpke(self) -> X25519PrivateKey:
        """For the library."""
        return X25519PrivateKey.from_private_bytes(self.private)


def parse(content: bytes) -> dict[str, Any]:
    """A JSON object. Raises InvalidKeyring, which says nothing of the content."""
    try:
        document: object = json.loads(content)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise InvalidKeyring("the file is not a JSON object")
    return cast("dict[str, Any]", document)


def decode(text: object) -> bytes:
    """A key's 32 bytes. Raises InvalidKeyring."""
    try:
        raw = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != KEY_BYTES:
        raise InvalidKeyring("a key must be 32 bytes in base64")
    return raw
