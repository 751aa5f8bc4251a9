"""Dead letters that the server alone knows of: a message past `max_deliver`, or terminated by hand.

Such a message stays in its stream, pending nowhere, and nobody is told but an advisory (verified). Run by the scheduler service, which
alone may read the origin and write every service's dead letters.
"""

import json
from typing import Any

import structlog

from shared.bus.connection import Bus
from shared.bus.dead_letters import DeadLetter, bury
from shared.bus.delivery import Delivery
from shared.bus.streams import Durable, Stream

log = structlog.get_logger(__name__)

_ERROR_CODE = "MaxDeliveries"
_WATCHED = frozenset({Stream.CMD, Stream.EVT})


class DeadLetterWatch:
    """Turns advisories into dead letters, each once: the ids are those of a message given up by its own service."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def register(self) -> None:
        """Consume the stream ADV. Before `bus.start()`."""
        self._bus.consume_raw(Stream.ADV, Durable.DEAD_LETTERS, self._handle)

    async def _handle(self, delivery: Delivery) -> None:
        advisory: dict[str, Any] = json.loads(delivery.data)
        stream, durable, sequence = str(advisory["stream"]), str(advisory["consumer"]), int(advisory["stream_seq"])
        if stream not in _WATCHED:
            log.warning("advisory_of_another_stream", origin=stream, origin_sequence=sequence)
            return
        stored = await self._bus.reader.at(stream, sequence)
        if stored is None:
            log.info("advisory_of_a_message_that_is_gone", origin=stream, origin_sequence=sequence, durable=durable)
            return
        letter = DeadLetter(
            service=durable,
            stream=stream,
            sequence=sequence,
            subject=stored.subject,
            data=stored.data,
            reason="max_deliveries",
            error_code=_ERROR_CODE,
        )
        await bury(self._bus.publisher, letter)
