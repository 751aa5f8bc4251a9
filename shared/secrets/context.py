"""What a sealed secret belongs to. It opens with exactly this and nothing else, so that stored rows cannot be swapped."""

from dataclasses import dataclass
from typing import Literal

from shared.events.ids import CredentialId, OwnerId
from shared.events.values import Purpose

_DOMAIN = b"async-code/sealed/v1"
_DOMAIN_WITH_PLACE = b"async-code/sealed/v2"


def model_place(vendor: str, base_url: str | None) -> str:
    """Where a model key may be sent: to its vendor's API as the operator has it, or to this address that speaks as the vendor does."""
    return vendor if base_url is None else f"{vendor} {base_url}"


@dataclass(frozen=True)
class Context:
    """The purpose, owner, id and version of one stored secret, and where it may be sent. Not secret itself."""

    purpose: Purpose | Literal["webhook"]
    owner: OwnerId
    credential_id: CredentialId
    version: int
    place: str = ""
    """Empty: whoever opens it knows (git tokens), or it was sealed before places were bound."""

    def info(self) -> bytes:
        """The bytes that HPKE binds (RFC 9180, §5.1). Each part with its length before it: no two contexts give the same bytes."""
        named = (str(self.purpose).encode(), self.owner.encode(), self.credential_id.encode(), str(self.version).encode())
        parts = (_DOMAIN_WITH_PLACE, *named, self.place.encode()) if self.place else (_DOMAIN, *named)
        return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
