"""Wiring of the egress process: the only process that opens model keys. It imports neither Docker nor NATS and runs no other program."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import structlog
from aiohttp import web

from services.runner.egress import connections
from services.runner.egress.control import Control
from services.runner.egress.packages.registries import registries
from services.runner.egress.packages.settings import PackageSettings
from services.runner.egress.settings import EgressSettings
from shared.secrets import Keyring
from shared.telemetry.health import HealthServer, HealthSettings

log = structlog.get_logger()


@asynccontextmanager
async def egress(settings: EgressSettings, packages: PackageSettings, health: HealthSettings) -> AsyncGenerator[None]:
    """Serve the control socket until the context ends."""
    keyring = Keyring.load(settings.keyring_file)
    for directory in (settings.sockets_dir, settings.state_dir):
        directory.mkdir(parents=True, exist_ok=True)
    async with connections.session(settings) as client, registries(packages, settings) as package_registries:
        control = Control(settings, keyring, client, package_registries)
        runner = web.AppRunner(control.application, access_log=None)
        await runner.setup()
        settings.control_socket.unlink(missing_ok=True)
        # Made for the owner and its group: the runner shares the group, nobody else does.
        old = os.umask(0o117)
        try:
            await web.UnixSite(runner, str(settings.control_socket)).start()
        finally:
            os.umask(old)
        async with HealthServer(health.host, health.port, {}):
            log.info("egress_ready", anthropic=settings.anthropic_base_url, openai=settings.openai_base_url)
            yield
        await runner.cleanup()
        await control.stop()
