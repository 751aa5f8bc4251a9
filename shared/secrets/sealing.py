"""Sealing for one service's public key: HPKE (RFC 9180), base mode, X25519 / HKDF-SHA256 / AES-256-GCM.

Whoever seals needs no secret and cannot open what it sealed.
"""

from typing import Final, NewType

from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from pydantic import SecretBytes

from shared.secrets.context import Context
from shared.secrets.errors import InvalidSealed
from shared.secrets.keys import KEY_ID_BYTES, PublicKey

Sealed = NewType("Sealed", bytes)
"""One byte of version, eight of the key's id, then the encapsulated key and the ciphertext. May be stored anywhere."""

SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)

_VERSION: Final = 1
_HEADER_BYTES: Final = 1 + KEY_ID_BYTES
_SHORTEST: Final = _HEADER_BYTES + 32 + 16  # an encapsulated key and the tag of an empty text
LONGEST: Final = 64 * 1024


def seal(public_key: PublicKey, plaintext: SecretBytes | bytes, context: Context) -> Sealed:
    """Ciphertext that the owner of the key can open, with the same context and no other."""
    plain = plaintext.get_secret_value() if isinstance(plaintext, SecretBytes) else plaintext
    if len(plain) > LONGEST:
        raise InvalidSealed(f"a secret may have {LONGEST} bytes at most")
    header = bytes([_VERSION]) + bytes.fromhex(public_key.id)
    return Sealed(header + SUITE.encrypt(plain, public_key.hpke(), info=context.info()))


def key_id(sealed: bytes) -> str:
    """The key it was sealed for: what a rotation counts. Raises InvalidSealed."""
    if len(sealed) < _SHORTEST or sealed[0] != _VERSION:
        raise InvalidSealed("these bytes are not a sealed secret of this version")
    return sealed[1:_HEADER_BYTES].hex()


def ciphertext(sealed: bytes) -> bytes:
    """What stands behind the header."""
    return sealed[_HEADER_BYTES:]
