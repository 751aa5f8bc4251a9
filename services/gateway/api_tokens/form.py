"""The text of an API token: `acp_`, 30 random characters, 6 of checksum (GitHub's form of 2021). Pure.

The checksum saves the look-up of a token that was mistyped, and lets scanners of leaked secrets tell a token from noise; it protects
nothing. 30 characters of 62 are 178 bits, so a plain SHA-256 is enough to store one by: nobody guesses, so no guess has to be slow.
"""

import hashlib
import re
import secrets
import string
import zlib
from typing import Final

MARK: Final = "acp_"
_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_CHARS: Final = 30
_CHECK_CHARS: Final = 6
"""62^6 is more than 2^32, so that a CRC32 fits."""
_SHOWN_CHARS: Final = 4
_FORM: Final = re.compile(rf"{MARK}([0-9A-Za-z]{{{_RANDOM_CHARS}}})([0-9A-Za-z]{{{_CHECK_CHARS}}})")


def fresh() -> str:
    """A new token."""
    random = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARS))
    return f"{MARK}{random}{_checksum(random)}"


def is_meant(text: str) -> bool:
    """Whether this is to be an API token, well-formed or not: nothing else begins so, a JSON Web Token begins with `ey`."""
    return text.startswith(MARK)


def is_well_formed(text: str) -> bool:
    """Whether this could be a token of ours: the checksum fits."""
    parts = _FORM.fullmatch(text)
    return parts is not None and _checksum(parts[1]) == parts[2]


def digest(token: str) -> bytes:
    """What is stored of a token, and found again by."""
    return hashlib.sha256(token.encode()).digest()


def shown(token: str) -> str:
    """The beginning of a token, for its owner to tell it by. What is left to guess are 154 bits."""
    return token[: len(MARK) + _SHOWN_CHARS]


def _checksum(random: str) -> str:
    number, digits = zlib.crc32(random.encode()), ""
    for _ in range(_CHECK_CHARS):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
