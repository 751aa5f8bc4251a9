"""What a sealed secret belongs to. It opens with exactly this and nothing else, so that stored rows cannot be swapped."""

from dataclasses import dataclass
from typing import Literal

from shared.events.ids import CredentialId, OwnerId
from shared.events.values import Purpose

_DOMAIN = b"async-code/sealed/v1"


@dataclass(frozen=True)
class Context:
    """The purpose, owner, id and version of one stored secret. Not secret itself."""

    purpose: Purpose | Literal["webhook"]
    owner: OwnerId
    credential_id: CredentialId
    version: int

    def info(self) -> bytes:
        """The bytes that HPKE binds (RFC 9180, §5.1). Each part with its length before it: no two contexts give the same bytes."""
        parts = (_DOMAIN, str(self.purpose).encode(), self.owner.encode(), self.credential_id.encode(), str(self.version).encode())
        return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
