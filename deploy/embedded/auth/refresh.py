"""Refresh tokens: session, number and a MAC over both. Pure.

The database keeps a session's current number only. So nothing usable is stored, and the current token can be made again for a client
that failed to save it, which a stored hash could not give.
"""

import base64
import hashlib
import hmac
import struct
import uuid
from dataclasses import dataclass

from deploy.embedded.auth.errors import RefreshTokenNotFound

_DOMAIN = b"async-code/refresh/v1"
_MAC_BYTES = 32
_BODY = struct.Struct(">16sQ")


@dataclass(frozen=True)
class RefreshToken:
    """One token of a session; the next one has the next number."""

    session_id: uuid.UUID
    number: int

    def sign(self, key: bytes) -> str:
        """As the client gets it."""
        body = _BODY.pack(self.session_id.bytes, self.number)
        return base64.urlsafe_b64encode(body + _mac(key, body)).rstrip(b"=").decode()

    @classmethod
    def read(cls, text: str, key: bytes) -> "RefreshToken":
        """What the client sent back. Raises RefreshTokenNotFound for whatever we did not sign."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except ValueError as error:
            raise RefreshTokenNotFound from error
        body, mac = raw[: _BODY.size], raw[_BODY.size :]
        if len(mac) != _MAC_BYTES or not hmac.compare_digest(mac, _mac(key, body)):
            raise RefreshTokenNotFound
        session, number = _BODY.unpack(body)
        return cls(uuid.UUID(bytes=session), number)


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, _DOMAIN + body, hashlib.sha256)
