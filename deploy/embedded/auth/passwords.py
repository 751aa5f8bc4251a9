"""Passwords: Argon2id in PHC strings, off the event loop, and a same-cost check where there is no account.

Parameters: OWASP Password Storage Cheat Sheet, Argon2id m=19456 KiB, t=2, p=1 (43 ms here).
"""

import asyncio
import os

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

_MEMORY_KIB = 19_456
_ITERATIONS = 2
_LANES = 1
_SALT_BYTES = 16
_HASH_BYTES = 32
MAX_LENGTH = 1_024
"""Hashing takes time by length; nobody types more."""

_AT_ONCE = 2
_slots = asyncio.Semaphore(_AT_ONCE)


async def hash_password(password: str) -> str:
    """The PHC string to store."""
    async with _slots:
        return await asyncio.to_thread(_hash, password)


async def matches(password: str, stored: str | None) -> bool:
    """Whether the password is the stored one; takes as long where there is none, so that time does not tell accounts apart."""
    async with _slots:
        return await asyncio.to_thread(_verify, password, stored or _NOBODY) and stored is not None


def _hash(password: str) -> str:
    salt = os.urandom(_SALT_BYTES)
    kdf = Argon2id(salt=salt, length=_HASH_BYTES, iterations=_ITERATIONS, lanes=_LANES, memory_cost=_MEMORY_KIB)
    return kdf.derive_phc_encoded(password.encode())


def _verify(password: str, stored: str) -> bool:
    try:
        Argon2id.verify_phc_encoded(password.encode(), stored)
    except InvalidKey:
        return False
    return True


_NOBODY = _hash(os.urandom(16).hex())
