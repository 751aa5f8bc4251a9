"""The private keys of one service: one primary, which others seal for, and older ones that only open.

Rotation without a pause: `add` the new key everywhere, `promote` it, seal everything again in the background, `retire` the old one when
nothing names it any more. The file has mode 0600 and is refused with any other; its content is never logged.
"""

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from cryptography.exceptions import InvalidTag
from pydantic import SecretBytes

from shared.secrets import sealing
from shared.secrets.context import Context
from shared.secrets.errors import InvalidKeyring, UnknownKey, WrongContext
from shared.secrets.files import read_private, write_private
from shared.secrets.keys import KeyPair, PublicKey, decode, parse
from shared.telemetry import redaction


@dataclass(frozen=True)
class Keyring:
    """Immutable: each change gives another keyring, which takes effect when it is saved and loaded."""

    primary_id: str
    pairs: tuple[KeyPair, ...]

    def __post_init__(self) -> None:
        ids = [pair.public.id for pair in self.pairs]
        if self.primary_id not in ids or len(set(ids)) != len(ids):
            raise InvalidKeyring("a keyring has different keys, and one of them is the primary")

    @classmethod
    def generate(cls) -> "Keyring":
        """A keyring with one new key."""
        pair = KeyPair.generate()
        return cls(pair.public.id, (pair,))

    @property
    def primary(self) -> PublicKey:
        """The key to seal for."""
        return self._pair(self.primary_id).public

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Every key that opens, oldest first."""
        return tuple(pair.public.id for pair in self.pairs)

    def add(self, pair: KeyPair | None = None) -> tuple["Keyring", PublicKey]:
        """This keyring with another key that only opens, a new one by default; and its public part."""
        added = pair or KeyPair.generate()
        return Keyring(self.primary_id, (*self.pairs, added)), added.public

    def promote(self, key_id: str) -> "Keyring":
        """This keyring with another of its keys as the primary. Raises UnknownKey."""
        return Keyring(self._pair(key_id).public.id, self.pairs)

    def retire(self, key_id: str) -> "Keyring":
        """This keyring without that key; what is still sealed for it can never be opened again. Raises UnknownKey, InvalidKeyring."""
        gone = self._pair(key_id)
        return Keyring(self.primary_id, tuple(pair for pair in self.pairs if pair is not gone))

    def open(self, sealed: bytes, context: Context) -> SecretBytes:
        """What was sealed. From here on it is redacted in everything this process writes.

        Raises UnknownKey, WrongContext, InvalidSealed.
        """
        pair = self._pair(sealing.key_id(sealed))
        try:
            plain = sealing.SUITE.decrypt(sealing.ciphertext(sealed), pair.hpke(), info=context.info())
        except InvalidTag as error:
            raise WrongContext("it was sealed for something else, or changed since") from error
        redaction.forget(plain)
        return SecretBytes(plain)

    def save(self, path: Path) -> None:
        """Write it, whole or not at all, readable by its owner alone."""
        keys = [{"private": base64.b64encode(pair.private).decode(), "created_at": pair.created_at.isoformat()} for pair in self.pairs]
        write_private(path, json.dumps({"version": 1, "primary": self.primary_id, "keys": keys}, indent=1).encode() + b"\n")

    @classmethod
    def load(cls, path: Path) -> "Keyring":
        """Read it. Raises NotPrivate where others could read it too, InvalidKeyring, OSError."""
        document = parse(read_private(path))
        primary, keys = document.get("primary"), document.get("keys")
        if document.get("version") != 1 or not isinstance(primary, str) or not isinstance(keys, list):
            raise InvalidKeyring("the file is not a keyring of version 1")
        return cls(primary, tuple(_pair_from(key) for key in cast("list[Any]", keys)))

    def _pair(self, key_id: str) -> KeyPair:
        for pair in self.pairs:
            if pair.public.id == key_id:
                return pair
        raise UnknownKey(f"this keyring has no key {key_id}")


def _pair_from(key: Any) -> KeyPair:
    if not isinstance(key, dict):
        raise InvalidKeyring("a key must be an object")
    entry = cast("dict[str, Any]", key)
    try:
        created_at = datetime.fromisoformat(str(entry.get("created_at")))
    except ValueError as error:
        raise InvalidKeyring("a key must say when it was made") from error
    return KeyPair(decode(entry.get("private")), created_at)
