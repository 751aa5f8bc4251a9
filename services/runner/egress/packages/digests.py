"""What a file's content must be, as an index says it. No I/O."""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

ALGORITHMS: Final = {"sha512": 128, "sha256": 64, "sha1": 40}
"""The best first, each with the length of its hexadecimal form. SHA-1 stands alone in npm's oldest entries: better than no proof."""


@dataclass(frozen=True)
class Digest:
    """Hexadecimal, lowercase."""

    algorithm: str
    value: str

    def __str__(self) -> str:
        """As a link carries it."""
        return f"{self.algorithm}:{self.value}"

    @classmethod
    def read(cls, said: str) -> "Digest | None":
        """Back from `str`; None for what is none of it."""
        algorithm, _, value = said.partition(":")
        return cls.hexadecimal(algorithm, value)

    @classmethod
    def hexadecimal(cls, algorithm: str, value: object) -> "Digest | None":
        """None for what is no digest of this algorithm, or of none that is known."""
        length = ALGORITHMS.get(algorithm)
        if length is None or not isinstance(value, str) or not re.fullmatch(f"[0-9a-f]{{{length}}}", value):
            return None
        return cls(algorithm, value)

    @classmethod
    def integrity(cls, said: object) -> "Digest | None":
        """The best of a list of Subresource Integrity (W3C SRI §3.5), which npm uses: `sha512-<base64>`."""
        found: dict[str, Digest] = {}
        for each in said.split() if isinstance(said, str) else ():
            algorithm, _, value = each.partition("?")[0].partition("-")
            try:
                digest = cls.hexadecimal(algorithm, base64.b64decode(value, validate=True).hex())
            except (ValueError, binascii.Error):
                continue
            if digest is not None:
                found[algorithm] = digest
        return next((found[algorithm] for algorithm in ALGORITHMS if algorithm in found), None)
