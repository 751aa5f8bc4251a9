"""Wiring: the only place where the audit service's objects are built and connected."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator

from services.audit import keys
from services.audit.answers import Answers
from services.audit.checkpoint import VerifierKey
from services.audit.handlers import Handlers
from services.audit.ingest import Ingest
from services.audit.ledger import Ledger
from services.audit.mirrors import NatsMirrors
from services.audit.publication import Publication
from services.audit.seal import Cadence, Sealer
from services.audit.settings import AuditSettings
from shared.bus.connection import Bus
from shared.bus.settings import BusSettings
from shared.events.questions import AskCheckpoint, AskTrail
from shared.store.database import Database
from shared.store.settings import StoreSettings
from shared.telemetry.health import Checks, HealthServer, HealthSettings


@contextlib.asynccontextmanager
async def app(settings: AuditSettings, store: StoreSettings, bus_settings: BusSettings, health: HealthSettings) -> AsyncGenerator[None]:
    """The running service. Raises KeyUnusable, StoreUnavailable or BusUnreachable when it cannot start."""
    key = await asyncio.to_thread(keys.load_or_create, settings.signing_key_file, settings.origin)
    verifier = VerifierKey(settings.origin, key.public_key().public_bytes_raw())
    cadence = Cadence(settings.seal_entries, settings.seal_seconds)
    sealer = Sealer(settings.origin, key, Publication(settings.checkpoint_file, verifier), cadence, time.monotonic)
    async with contextlib.AsyncExitStack() as stack:
        database = await Database.open(store)
        stack.push_async_callback(database.close)
        bus = await Bus.connect(bus_settings)
        stack.push_async_callback(bus.stop)
        ingest = Ingest(Ledger(database, verifier), NatsMirrors(bus.nats), sealer)
        handlers = Handlers(Answers(database))
        bus.answer(AskTrail, handlers.entries)
        bus.answer(AskCheckpoint, handlers.checkpoint)
        await bus.start()
        await stack.enter_async_context(HealthServer(health.host, health.port, _checks(settings, database, bus, ingest)))
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(ingest.run())
            yield
            writing.cancel()


def _checks(settings: AuditSettings, database: Database, bus: Bus, ingest: Ingest) -> Checks:
    return {
        "database": database.ready,
        "bus": bus.ready,
        "trail": lambda: ingest.current(settings.max_lag),
        "seal": lambda: ingest.sealed(settings.max_unsealed),
    }
