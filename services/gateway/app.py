"""Wiring: the only place where the gateway's objects are built and connected."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import httpx
import structlog
import uvicorn

from services.gateway import api
from services.gateway.answers import Answers
from services.gateway.api_tokens.stored import StoredGrants
from services.gateway.handlers import FactHandler
from services.gateway.housekeeping import rules
from services.gateway.identity import Verifier
from services.gateway.jwks import KeySource
from services.gateway.parts import Parts
from services.gateway.settings import Settings
from services.gateway.tasks.watching import Streams
from services.gateway.tokens import Policy
from shared.blobs import BlobStore
from shared.bus.connection import Bus
from shared.bus.settings import BusSettings
from shared.bus.streams import Durable, Stream
from shared.events.questions import AskPublication, AskRunInput, AskSealedCredential, AskWorkspaceSource
from shared.events.values import Purpose
from shared.secrets import PublicKey
from shared.store.database import Database
from shared.store.outbox import Outbox, Relay
from shared.store.pruning import Pruning
from shared.store.settings import StoreSettings
from shared.telemetry.health import Checks, HealthServer, HealthSettings

JWKS_SECONDS: Final = 5
STOP_SECONDS: Final = 10
PROJECTION_SLOTS: Final = 1
"""Facts of one task must be folded in order; the fold ignores what comes late."""

log = structlog.get_logger(__name__)


class _Server(uvicorn.Server):
    """Signals are `shared.telemetry.service`'s, and so is what happens when nothing can listen."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave them alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say when requests are taken."""
        await super().startup(sockets)
        self.listening.set()


@asynccontextmanager
async def app() -> AsyncGenerator[None]:
    """The gateway, while the block runs."""
    settings = Settings()  # pyright: ignore[reportCallIssue] - from the environment
    async with AsyncExitStack() as stack:
        database = await Database.open(StoreSettings())  # pyright: ignore[reportCallIssue]
        stack.push_async_callback(database.close)
        bus = await Bus.connect(BusSettings())  # pyright: ignore[reportCallIssue]
        stack.push_async_callback(bus.stop)
        outbox = Outbox("gateway", settings.outbox_max_rows)
        _answer(bus, Answers(database, outbox, bus.read))
        bus.consume(Stream.EVT, Durable.GATEWAY, FactHandler(database, bus.read), slots=PROJECTION_SLOTS)
        await bus.start()
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=JWKS_SECONDS, trust_env=False, follow_redirects=False))
        keys = KeySource(
            client, settings.auth_jwks_url, max_age_seconds=settings.jwks_max_age_seconds, refresh_seconds=settings.jwks_refresh_seconds
        )
        streams = Streams(bus.subscribe, limit=settings.max_streams, limit_per_owner=settings.max_streams_per_owner)
        parts = Parts(settings, database, outbox, bus, BlobStore(bus), _public_keys(settings), streams)
        relay = Relay(database, outbox, bus.relay)
        health = HealthSettings()
        checks: Checks = {
            "bus": bus.ready,
            "database": database.ready,
            "auth": keys.ready,
            "outbox": lambda: outbox.moving(database, settings.outbox_seconds),
        }
        await stack.enter_async_context(HealthServer(health.host, health.port, checks))
        work = await stack.enter_async_context(asyncio.TaskGroup())
        for loop in (relay, Pruning(database, "gateway", rules(settings))):
            stack.callback(work.create_task(loop.run()).cancel)
        await stack.enter_async_context(_serving(work, settings, parts, Verifier(keys, _policy(settings), StoredGrants(database, outbox))))
        yield


def _answer(bus: Bus, answers: Answers) -> None:
    bus.answer(AskRunInput, answers.run_input)
    bus.answer(AskWorkspaceSource, answers.workspace_source)
    bus.answer(AskPublication, answers.publication)
    bus.answer(AskSealedCredential, answers.sealed_credential)


def _public_keys(settings: Settings) -> dict[Purpose, PublicKey]:
    return {
        Purpose.GIT_TOKEN: PublicKey.load(settings.git_public_key_file),
        Purpose.MODEL_KEY: PublicKey.load(settings.egress_public_key_file),
    }


def _policy(settings: Settings) -> Policy:
    return Policy(issuer=settings.auth_issuer, algorithms=settings.auth_algorithms, leeway_seconds=settings.auth_leeway_seconds)


@asynccontextmanager
async def _serving(work: asyncio.TaskGroup, settings: Settings, parts: Parts, verifier: Verifier) -> AsyncGenerator[None]:
    """HTTP, while the block runs; then open streams end, and requests under way have a little time."""
    config = uvicorn.Config(
        api.build(parts, verifier.caller),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        lifespan="off",
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    # `access_log` off only takes its handlers away, which our logging gives back: each request is logged once, by the edge.
    logging.getLogger("uvicorn.access").setLevel(logging.CRITICAL)
    server = _Server(config)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.create_server((settings.host, settings.port), family=family, backlog=config.backlog)
    serving = work.create_task(server.serve(sockets=[listener]))
    try:
        await server.listening.wait()
        log.info("listening", host=settings.host, port=listener.getsockname()[1])
        yield
    finally:
        parts.streams.close()
        server.should_exit = True
        await asyncio.wait({serving})
