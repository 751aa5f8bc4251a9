"""Wiring: the only place where this service's objects are built and connected."""

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog

from services.git.command import Caps, Git
from services.git.commits import Identity
from services.git.diffs import Sizes
from services.git.handlers import Handlers, Measures
from services.git.locks import locked
from services.git.mirrors import Mirrors
from services.git.remotes import Remotes
from services.git.resolution import Reach
from services.git.settings import GitSettings
from services.git.takein import Bounds
from shared.blobs import BlobStore
from shared.bus.connection import Bus
from shared.bus.settings import BusSettings
from shared.bus.streams import Durable, Stream
from shared.secrets.keyring import Keyring
from shared.telemetry.health import HealthServer, HealthSettings

log = structlog.get_logger(__name__)

_SHRINK_SECONDS = 10
_SHRINK_AGAIN_SECONDS = 600
_CACHE_LOCK_SECONDS = 3


@asynccontextmanager
async def app(settings: GitSettings, bus_settings: BusSettings, health_settings: HealthSettings) -> AsyncGenerator[None]:
    """The running service. One process per cache directory."""
    cache = settings.cache_dir
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with locked(cache / "lock", wait_seconds=_CACHE_LOCK_SECONDS):
        work = await asyncio.to_thread(_emptied, cache)
        keyring = Keyring.load(settings.keyring_file)
        git = Git(cache / "home", ca_bundle=settings.ca_bundle)
        mirrors = Mirrors(
            git,
            cache,
            caps=Caps(timeout_seconds=settings.remote_seconds, file_bytes=settings.max_repository_bytes),
            max_bytes=settings.max_cache_bytes,
        )
        bus = await Bus.connect(bus_settings)
        reach = Reach(settings.allow_networks, settings.file_directories, (cache,))
        remotes = Remotes(bus, keyring, protocols=settings.allow_protocols, reach=reach)
        handlers = Handlers(bus, BlobStore(bus), remotes, git, mirrors, work_dir=work, measures=measures(settings))
        bus.consume(Stream.CMD, Durable.GIT, handlers.handle, slots=settings.slots)
        await bus.start()
        health = HealthServer(health_settings.host, health_settings.port, {"bus": bus.ready, "cache": lambda: _writable(cache)})
        try:
            async with health, asyncio.TaskGroup() as tasks:
                shrinking = tasks.create_task(_shrink(mirrors))
                yield
                shrinking.cancel()
        finally:
            await bus.stop()


def measures(settings: GitSettings) -> Measures:
    """The operator's limits in the shape of the work."""
    return Measures(
        attempts=settings.attempts,
        depth=settings.snapshot_depth,
        workspace_bytes=settings.max_workspace_bytes,
        local_seconds=settings.local_seconds,
        push=Caps(timeout_seconds=settings.remote_seconds, memory_bytes=settings.max_memory_bytes),
        bounds=Bounds(
            pack_bytes=settings.max_result_bytes,
            workspace_bytes=settings.max_workspace_bytes,
            depth=settings.snapshot_depth,
            memory_bytes=settings.max_memory_bytes,
            timeout_seconds=settings.local_seconds,
        ),
        sizes=Sizes(patch_bytes=settings.max_patch_bytes, memory_bytes=settings.max_memory_bytes, timeout_seconds=settings.local_seconds),
        identity=Identity(settings.identity_name, settings.identity_email),
    )


def _emptied(cache: Path) -> Path:
    """The directory of work in progress, without what a killed process left."""
    for name in ("work", "trash"):
        shutil.rmtree(cache / name, ignore_errors=True)
    work = cache / "work"
    work.mkdir(mode=0o700)
    return work


async def _shrink(mirrors: Mirrors) -> None:
    """After each fetch, but not more often than every few seconds: measuring reads the whole cache's directories."""
    while True:
        removed, locks = await mirrors.shrink(), await mirrors.forget_locks()
        if removed or locks:
            log.info("mirrors_removed", count=removed, only_locks=locks)
        await asyncio.sleep(_SHRINK_SECONDS)
        with suppress(TimeoutError):  # what was in use then may not be now
            async with asyncio.timeout(_SHRINK_AGAIN_SECONDS):
                await mirrors.grown.wait()


async def _writable(cache: Path) -> None:
    probe = cache / "probe"
    await asyncio.to_thread(probe.write_bytes, b"")
