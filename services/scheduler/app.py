"""Wiring: the only place where the scheduler's objects are built and connected."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from services.scheduler.clock import SystemClock
from services.scheduler.handlers import Handlers
from services.scheduler.housekeeping import rules
from services.scheduler.ledger import SCHEMA, Ledger
from services.scheduler.overdue import Overdue
from services.scheduler.settings import SchedulerSettings
from services.scheduler.slots import Slots
from shared.bus.advisories import DeadLetterWatch
from shared.bus.connection import Bus
from shared.bus.settings import BusSettings
from shared.bus.streams import Durable, Stream
from shared.store.database import Database
from shared.store.outbox import Relay
from shared.store.pruning import Pruning
from shared.store.settings import StoreSettings
from shared.telemetry.health import Checks, HealthServer, HealthSettings


@asynccontextmanager
async def app(settings: SchedulerSettings, bus_settings: BusSettings, store: StoreSettings, health: HealthSettings) -> AsyncGenerator[None]:
    """A scheduler at work. Stops in the reverse order: first what begins something, then the connections it needs to end."""
    async with AsyncExitStack() as stack:
        database = await Database.open(store)
        stack.push_async_callback(database.close)
        bus = await Bus.connect(bus_settings)
        stack.push_async_callback(bus.stop)

        clock, ledger = SystemClock(), Ledger(settings)
        slots = Slots(database, ledger, clock, settings.running_per_owner, settings)
        handlers = Handlers(database, ledger, slots, clock)
        overdue = Overdue(database, ledger, slots, clock, settings.sweep_seconds)
        relay = Relay(database, ledger.outbox, bus.relay)
        pruning = Pruning(database, SCHEMA, rules(settings, ledger.inbox))

        for stream in (Stream.CMD, Stream.EVT):
            bus.consume(stream, Durable.SCHEDULER, handlers.handle, slots=settings.handlers)
        DeadLetterWatch(bus).register()
        await bus.start()
        checks: Checks = {
            "bus": bus.ready,
            "database": database.ready,
            "outbox": lambda: ledger.outbox.moving(database, settings.outbox_seconds),
        }
        await stack.enter_async_context(HealthServer(health.host, health.port, checks))

        async with asyncio.TaskGroup() as group:  # a loop that fails ends the service
            loops = [group.create_task(loop.run()) for loop in (relay, overdue, pruning)]
            yield
            for loop in loops:
                loop.cancel()
