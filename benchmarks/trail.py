"""The trail: events from the mirrors into sealed entries, beside a bare COPY of the same bytes into a plain table of the same Postgres."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from benchmarks import servers
from benchmarks.figures import LOAD, Answer, Row, Say, load, median, ratio
from services.audit import keys
from services.audit.checkpoint import VerifierKey
from services.audit.entry import Entry
from services.audit.ingest import Ingest, Pace
from services.audit.ledger import Ledger
from services.audit.mirrors import NatsMirrors
from services.audit.publication import Publication
from services.audit.seal import Cadence, Sealer
from shared.bus.connection import Bus
from shared.bus.streams import Stream
from shared.events import envelope, ids
from shared.events.facts import TaskQueued
from shared.store.database import Connection, Database
from tests.servers.nats import NatsServer
from tests.servers.postgres import PostgresDatabase

_ORIGIN = "measured.example/trail"
_CADENCE = Cadence(5_000, 1.0)
_AT_ONCE = 500
_PLAIN = "create table plain (stream text, sequence bigint, subject text, headers bytea, stored_at timestamptz, data bytea)"
_COLUMNS = ("stream", "sequence", "subject", "headers", "stored_at", "data")


async def measure(events: int, rounds: int, say: Say) -> Answer:
    """`rounds` times: `events` new events are ingested and sealed, then their bytes are copied."""
    ours, peer = list[float](), list[float]()
    async with servers.nats() as nats, servers.database() as database:
        superuser = await database.connect()
        try:
            await superuser.execute(_PLAIN)
            for number in range(rounds):
                await _publish(nats, events)
                ours.append(events / await _ingested(nats, database, (number + 1) * events))
                entries = await _entries(nats, number * events, events)
                peer.append(events / await _copied(superuser, entries))
                say(f"trail: round {number + 1}, {ours[-1]:.0f} events/s sealed, COPY {peer[-1]:.0f} rows/s")
        finally:
            superuser.terminate()
    rows: list[Row] = [
        {"what": name, "per second, median": median(values), "least": min(values), "rounds": rounds, "events": events, LOAD: load()}
        for name, values in (("ingested and sealed", ours), ("bare COPY", peer))
    ]
    rows.append(
        {"what": "COPY / ingested", "per second, median": ratio(median(peer), median(ours)), "least": None, "rounds": rounds,
         "events": events, LOAD: load()}
    )  # fmt: skip
    return Answer("trail", "How fast does the trail take in and seal events?", _METHOD, tuple(rows))


async def _publish(nats: NatsServer, count: int) -> None:
    """Facts into EVT, and wait until the mirror has them all."""
    bus = await Bus.connect(nats.settings("scheduler"))
    try:
        context = bus.nats.jetstream()  # pyright: ignore[reportUnknownMemberType]
        for first in range(0, count, _AT_ONCE):
            waiting: list[asyncio.Future[Any]] = []
            for _ in range(min(_AT_ONCE, count - first)):
                fact = envelope.new(TaskQueued(), source="scheduler", owner=ids.fresh(), task=ids.fresh())
                sent = await context.publish_async(fact.nats_subject, fact.encode(), stream=Stream.EVT)  # pyright: ignore[reportUnknownMemberType]
                waiting.append(sent)
            await asyncio.gather(*waiting)
    finally:
        await bus.nats.close()
    async with _mirrors(nats) as mirrors:
        while (standing := await mirrors.standing(Stream.EVT)).lag or standing.last < count:
            await asyncio.sleep(0.05)


async def _ingested(nats: NatsServer, database: PostgresDatabase, until: int) -> float:
    """Seconds from the writer's start to the checkpoint over the last event."""
    published = Path(database.server.directory) / "checkpoints"
    key = keys.load_or_create(Path(database.server.directory) / "signing.pem", _ORIGIN)
    verifier = VerifierKey(_ORIGIN, key.public_key().public_bytes_raw())
    sealer = Sealer(_ORIGIN, key, Publication(published, verifier), _CADENCE, time.monotonic)
    store = await Database.open(database.settings("audit"))
    try:
        async with _mirrors(nats) as mirrors:
            ingest = Ingest(Ledger(store, verifier), mirrors, sealer, Pace(idle_seconds=0.01))
            began = time.monotonic()
            writing = asyncio.create_task(ingest.run())
            while sealer.sealed_size < until and not writing.done():
                await asyncio.sleep(0.002)
            took = time.monotonic() - began
            writing.cancel()
            await asyncio.wait({writing})
            return took
    finally:
        await store.close()


async def _entries(nats: NatsServer, after: int, count: int) -> list[Entry]:
    entries: list[Entry] = []
    async with _mirrors(nats) as mirrors:
        while len(entries) < count:
            entries += await mirrors.read(Stream.EVT, after + len(entries), _AT_ONCE)
    return entries


async def _copied(connection: Connection, entries: list[Entry]) -> float:
    """Seconds of one COPY in one transaction."""
    records = [(each.stream, each.stream_sequence, each.subject, each.headers, each.stored_at, each.data) for each in entries]
    began = time.monotonic()
    await connection.copy_records_to_table("plain", columns=_COLUMNS, records=records)
    return time.monotonic() - began


@contextlib.asynccontextmanager
async def _mirrors(nats: NatsServer) -> AsyncGenerator[NatsMirrors]:
    bus = await Bus.connect(nats.settings("audit"))
    try:
        yield NatsMirrors(bus.nats)
    finally:
        await bus.stop()


_METHOD = (
    "Facts lie in the mirrors; the audit service's own writer reads, hashes, enters and seals them, with its indexes, in batches of 500, a "
    "checkpoint at least every 5,000 entries. Then one bare COPY puts the same bytes into a table without an index. Postgres with fsync, "
    "NATS with `sync_interval: always`. Monotonic clock of the writer's process."
)
