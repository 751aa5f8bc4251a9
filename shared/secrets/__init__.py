"""Secrets at rest: sealed for the one service that may open them, bound to what they are for."""

from shared.secrets.context import Context, model_place
from shared.secrets.errors import InvalidKeyring, InvalidSealed, NotPrivate, SecretsError, UnknownKey, WrongContext
from shared.secrets.keyring import Keyring
from shared.secrets.keys import KeyPair, PublicKey
from shared.secrets.sealing import Sealed, key_id, seal

__all__ = [
    "Context",
    "InvalidKeyring",
    "InvalidSealed",
    "KeyPair",
    "Keyring",
    "NotPrivate",
    "PublicKey",
    "Sealed",
    "SecretsError",
    "UnknownKey",
    "WrongContext",
    "key_id",
    "model_place",
    "seal",
]
