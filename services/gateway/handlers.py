"""Facts in → read model. Everything of EVT comes here, in order per task; the bus decides about trying again by the error's type."""

from typing import Any, Final

import structlog

from services.gateway.projection import project
from services.gateway.tasks.position import Read
from shared.bus.delivery import Delivery
from shared.bus.errors import Postpone
from shared.events.envelope import Envelope
from shared.store.database import Database
from shared.store.errors import StoreConflict, StoreUnavailable

log = structlog.get_logger(__name__)

RETRY_SECONDS: Final = 2.0


class FactHandler:
    """The durable `gateway` on EVT."""

    def __init__(self, database: Database, read: Read) -> None:
        self._database = database
        self._read = read

    async def __call__(self, envelope: Envelope[Any], delivery: Delivery) -> None:
        """Fold one fact. Raises Postpone while the database is away: however long that is, no fact may be given up for it."""
        try:
            await project(self._database, self._read, envelope, delivery.sequence)
        except (StoreUnavailable, StoreConflict) as error:
            log.warning("fact_postponed", reason=str(error))
            raise Postpone(RETRY_SECONDS) from error
