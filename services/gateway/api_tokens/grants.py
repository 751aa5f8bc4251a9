"""What a presented API token is worth: the stored row as a value, the judgement on it, and where rows come from. No I/O."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol

from shared.events.ids import OwnerId, TokenId
from shared.events.values import TokenScope

Reason = Literal["expired", "revoked", "scope"]
"""Why the holder of a token that exists was refused."""


class Fault(StrEnum):
    """Why an API token opens nothing, as the log says it."""

    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    REVOKED = "revoked"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Grant:
    """What an API token that is stored allows its holder to do in its owner's name."""

    token_id: TokenId
    owner: OwnerId
    scopes: frozenset[TokenScope]
    expires_at: datetime
    revoked: bool = False
    use_is_news: bool = False
    """Whether its last use was so long ago, or never, that this one is to be stored."""

    def ended(self, now: datetime) -> Literal["revoked", "expired"] | None:
        """Why it allows nothing any more, if so. A revoked one stays revoked when it expires."""
        if self.revoked:
            return "revoked"
        return "expired" if self.expires_at <= now else None


class Grants(Protocol):
    """Where grants are stored."""

    async def find(self, digest: bytes) -> Grant | None:
        """The grant of the token with this digest, as it is at this moment."""
        ...

    async def used(self, grant: Grant) -> None:
        """Store that it was used just now."""
        ...

    async def refused(self, grant: Grant, reason: Reason) -> None:
        """Tell the trail that its holder was refused; not more than once an hour for one reason."""
        ...
