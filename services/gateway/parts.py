"""What the endpoints work with: built once in `app`, reached through the request. Nothing here is made at import."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request

from services.gateway.errors import Unavailable
from services.gateway.settings import Settings
from services.gateway.tasks.large import Turns
from services.gateway.tasks.watching import Streams
from services.gateway.tokens import Caller
from shared.blobs import BlobStore
from shared.bus.connection import Bus
from shared.events.values import Purpose
from shared.secrets import PublicKey
from shared.store.database import Database
from shared.store.outbox import Outbox


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything an endpoint may use."""

    settings: Settings
    database: Database
    outbox: Outbox
    bus: Bus
    blobs: BlobStore
    keys: Mapping[Purpose, PublicKey]
    """The key of the one service that uses a credential of this purpose: what it seals, this process cannot open."""
    streams: Streams
    turns: Turns = field(default_factory=Turns)
    """Of answers of megabytes."""

    def require_bus(self) -> None:
        """Raise Unavailable at once while NATS is away: what only the bus holds would be waited for in vain."""
        if not self.bus.nats.is_connected:
            raise Unavailable


def _parts(request: Request) -> Parts:
    return cast("Parts", request.app.state.parts)


def _caller(request: Request) -> Caller:
    """Put there by the edge, which lets nobody in without; a KeyError here means that a path was made public by mistake."""
    return cast("Caller", request.scope["state"]["caller"])


PartsOf = Annotated[Parts, Depends(_parts)]
CallerOf = Annotated[Caller, Depends(_caller)]
