"""Seals the log: a signed checkpoint every so many entries, or so long after the first entry that no checkpoint covers.

A checkpoint is published in the file before the database has it, and so before anyone can read it. Must never sign a log that was not
proved to continue the one sealed before: the writer takes the log up first.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.audit import checkpoint
from services.audit.checkpoint import Checkpoint
from services.audit.ledger import Sealed, Writer
from services.audit.merkle import Frontier
from services.audit.publication import Publication

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Cadence:
    """How much may stand unsealed, and how long."""

    entries: int
    seconds: float


class Sealer:
    """Signs for one log, under `origin`."""

    def __init__(self, origin: str, key: Ed25519PrivateKey, publication: Publication, cadence: Cadence, clock: Callable[[], float]) -> None:
        self._origin = origin
        self._key = key
        self._publication = publication
        self._cadence = cadence
        self._clock = clock
        self._sealed_size = 0
        self._unsealed_since: float | None = None

    @property
    def sealed_size(self) -> int:
        """How much of the log the newest checkpoint covers."""
        return self._sealed_size

    async def recover(self) -> list[Checkpoint]:
        """What was published so far."""
        points = await asyncio.to_thread(self._publication.recover)
        self._sealed_size = points[-1].size if points else 0
        self._unsealed_since = None
        return points

    async def catch_up(self, missed: Sequence[Sealed]) -> None:
        """Publish what another writer sealed, which this replica's file does not have."""
        for sealed in missed:
            await asyncio.to_thread(self._publication.publish, sealed.note)
            self._sealed_size = sealed.point.size

    async def seal_when_due(self, writer: Writer, frontier: Frontier) -> None:
        """Seal when it is time to. Raises OSError and StoreUnavailable; the next call tries again."""
        if frontier.size == self._sealed_size:
            return
        if self._unsealed_since is None:
            self._unsealed_since = self._clock()
        waited = self._clock() - self._unsealed_since
        if frontier.size - self._sealed_size >= self._cadence.entries or waited >= self._cadence.seconds:
            await self.seal(writer, frontier)

    async def seal(self, writer: Writer, frontier: Frontier) -> None:
        """Sign the log as it is, publish, then record."""
        point = Checkpoint(self._origin, frontier.size, frontier.root)
        note = checkpoint.sign(point, self._origin, self._key)
        await asyncio.to_thread(self._publication.publish, note)
        self._sealed_size = frontier.size
        self._unsealed_since = None
        await writer.record(Sealed(point, frontier, note))
        log.info("trail_sealed", size=point.size)
