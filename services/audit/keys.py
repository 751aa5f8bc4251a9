"""The signing key of the trail: an Ed25519 key in a PEM file of mode 0600, its verifier key in `<file>.pub` beside it.

The private key must never leave this process. Whoever has it can write another history and sign it, so a key that does not fit the
verifier key that was handed out is refused, never replaced.
"""

from pathlib import Path

import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.audit.checkpoint import VerifierKey
from services.audit.errors import KeyUnusable
from shared.secrets.errors import NotPrivate
from shared.secrets.files import read_private, write_private, write_public

log = structlog.get_logger(__name__)


def verifier_key_file(signing_key_file: Path) -> Path:
    """Where the verifier key of this signing key is handed out."""
    return signing_key_file.with_name(f"{signing_key_file.name}.pub")


def load_or_create(path: Path, name: str) -> Ed25519PrivateKey:
    """The key in this file, which is made when there is none yet; the verifier key under `name` stands beside it afterwards.

    Raises KeyUnusable when the file is no Ed25519 key, others can read it, or the verifier key there is another one's.
    """
    public_file = verifier_key_file(path)
    if not path.exists():
        if public_file.exists():
            raise KeyUnusable(f"{path} is gone, but {public_file} was handed out: restore the key, or retire the trail that it signed")
        write_private(path, _encode(Ed25519PrivateKey.generate()))
        log.info("signing_key_created", path=str(path))
    key = _load(path)
    verifier = VerifierKey(name, key.public_key().public_bytes_raw())
    if not public_file.exists():
        write_public(public_file, f"{verifier.encode()}\n".encode())
    handed_out = load_verifier_key(public_file)
    if handed_out != verifier:
        raise KeyUnusable(f"{public_file} hands out another key: expected {verifier.encode()}, got {handed_out.encode()}")
    return key


def load_verifier_key(path: Path) -> VerifierKey:
    """The verifier key in this file. Raises KeyUnusable."""
    try:
        return VerifierKey.parse(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise KeyUnusable(f"{path} cannot be read: {type(error).__name__}") from error


def _encode(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _load(path: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(read_private(path), password=None)
    except NotPrivate as error:
        raise KeyUnusable(str(error)) from error
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyUnusable(f"{path} holds no key that can be read: {type(error).__name__}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnusable(f"{path} holds a key that is not an Ed25519 key")
    return key
