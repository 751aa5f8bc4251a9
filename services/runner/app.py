"""Wiring: the one place where the runner's parts are built and connected."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import structlog

from services.runner import orphans, trial
from services.runner.agents.registry import AGENTS
from services.runner.docker_engine import DockerEngine
from services.runner.docker_factory import DockerSandboxes
from services.runner.doors import Egress, NullEgress
from services.runner.egress_client import EgressClient
from services.runner.environment_store import EnvironmentStore
from services.runner.handlers import StartRun
from services.runner.last_words import LastWords
from services.runner.protections import Walls
from services.runner.runs import Facilities
from services.runner.settings import RunnerSettings
from services.runner.stopping import Leaving
from services.runner.warm import Pool
from shared.blobs.store import BlobStore
from shared.bus.connection import Bus
from shared.bus.errors import Transient
from shared.bus.lease import Fates, Leases
from shared.bus.settings import BusSettings
from shared.bus.streams import Durable, Stream
from shared.events import envelope
from shared.events.facts import EngineTried
from shared.events.ids import RunId
from shared.telemetry.health import HealthServer, HealthSettings

log = structlog.get_logger()

_SWEEP_SECONDS = 30.0


@asynccontextmanager
async def runner(settings: RunnerSettings, bus_settings: BusSettings, health_settings: HealthSettings) -> AsyncGenerator[None]:
    """The service: inside, it takes work; left, it holds none."""
    own_id = orphans.runner_id(settings.state_dir)
    orphans.clear_files(settings.state_dir)
    words = LastWords(settings.state_dir / "sandboxes")
    words.forget(time.time())
    engine = DockerEngine(settings.docker_host, words)
    sandboxes = DockerSandboxes(
        engine,
        deployment=settings.deployment,
        runner_id=own_id,
        runtime=settings.runtime,
        apparmor=settings.apparmor_profile,
    )
    walls = await trial.walls(engine, sandboxes, settings)
    bus = await Bus.connect(bus_settings)
    try:
        leases = Leases(bus, settings.lease_ttl_seconds)
        egress: Egress = NullEgress() if settings.egress_socket is None else EgressClient(bus, settings.egress_socket)
        leaving = Leaving()
        pool = Pool(sandboxes, egress, each=settings.warm, total=settings.warm_total)
        environments = EnvironmentStore(settings.state_dir / "environments", settings.environments_mib * 1024 * 1024)
        environments.open()
        facilities = Facilities(bus, BlobStore(bus), Fates(bus), sandboxes, pool, egress, settings, own_id, leaving, engine, environments)
        bus.consume(Stream.CMD, Durable.RUNNER, StartRun(facilities, leases), slots=settings.slots)
        checks = {"bus": bus.ready, "docker": sandboxes.ready, "egress": egress.ready}
        async with HealthServer(health_settings.host, health_settings.port, checks, walls.about()):
            removed = await orphans.clear_sandboxes(sandboxes, own_id, _alive(leases))
            try:
                await egress.close_all()
            except Transient as away:  # the first sweep that finds it closes what is left
                log.warning("doors_not_closed", error=type(away).__name__)
            async with pool.filled():
                await bus.start()
                sweeps = [orphans.SandboxSweep(sandboxes, _alive(leases)), egress.sweep, *_image_sweep(engine, settings)]
                sweeping = asyncio.create_task(orphans.repeat(_SWEEP_SECONDS, *sweeps))
                if walls.seen is not None:
                    await bus.publish(envelope.new(_ready(walls, own_id, settings.runtime), source="runner"))
                log.info("runner_ready", runner_id=own_id, slots=settings.slots, orphans_removed=removed, missing=sorted(walls.missing))
                yield
                await leaving.announce()
                sweeping.cancel()
                await asyncio.wait({sweeping})
    finally:
        await bus.stop()
        engine.close()


def _image_sweep(engine: DockerEngine, settings: RunnerSettings) -> list[orphans.Sweep]:
    if settings.keep_images is None:
        return []
    wanted = [*settings.images.values(), *(settings.image(agent) for agent in AGENTS)]
    return [orphans.ImageSweep(engine, wanted, settings.keep_images)]


def _ready(walls: Walls, runner_id: str, runtime: str) -> EngineTried:
    return EngineTried(
        runner_id=runner_id,
        engine=walls.engine.version,
        kernel=walls.engine.kernel,
        runtime=runtime,
        storage_driver=walls.engine.storage_driver,
        cgroup_version=walls.engine.cgroup_version,
        protections=tuple(sorted(walls.there)),
        allowed_missing=tuple(sorted(walls.missing)),
    )


def _alive(leases: Leases) -> orphans.LeaseAlive:
    async def alive(run_id: RunId) -> bool:
        held = await leases.last(f"$KV.lease.{run_id}")
        return held is not None and held.data != b"{}"

    return alive
