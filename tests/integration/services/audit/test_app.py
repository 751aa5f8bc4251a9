import contextlib
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from services.audit.app import app
from services.audit.errors import KeyUnusable
from services.audit.settings import AuditSettings
from shared.bus.streams import Mirror, Stream
from shared.telemetry.health import HealthSettings
from tests.integration.services.audit.conftest import ORIGIN, Service, Trail, publish, until
from tests.servers.nats import free_port


@contextlib.asynccontextmanager
async def running(trail: Trail, **more: object) -> AsyncGenerator[Service]:
    """The service inside the test's own process; what comes out answers for its readiness."""
    port = free_port()
    settings = AuditSettings.model_validate(
        {
            "signing_key_file": trail.signing_key_file,
            "checkpoint_file": trail.checkpoint_file,
            "origin": ORIGIN,
            "seal_entries": 10,
            "seal_seconds": 0.05,
        }
        | more
    )
    store, bus = trail.database.settings("audit"), trail.nats.settings("audit")
    async with app(settings, store, bus, HealthSettings(port=port)):
        yield Service({"HEALTH_PORT": str(port)}, Path("/dev/null"))


async def say(trail: Trail, count: int) -> None:
    await publish(trail.nats, "gateway", Stream.CMD, "cmd.scheduler.x", [b"x"] * count)


async def assert_says(service: Service, check: str, *words: str) -> None:
    async def said() -> bool:
        answer = (await service.readiness()).get("checks", {}).get(check, "")
        return all(word in answer for word in words)

    await until(said, f"{check}: {words}")


async def test_it_is_ready_when_it_writes(trail: Trail) -> None:
    async with running(trail) as service:
        await say(trail, 25)
        await trail.entered(25)
        assert await service.readiness() == {"ready": True, "checks": dict.fromkeys(("database", "bus", "trail", "seal"), "ok")}
    report = await trail.report()
    assert (report.verified, report.entries) == (True, 25)


async def test_it_goes_on_where_it_was_stopped(trail: Trail) -> None:
    for size in (5, 10, 15):
        async with running(trail):
            await say(trail, 5)
            await trail.entered(size)
    assert (await trail.report()).streams == {"CMD": 15}


async def test_it_says_how_much_is_not_sealed(trail: Trail) -> None:
    async with running(trail, seal_seconds=3600, seal_entries=1000, max_unsealed=2) as service:
        await say(trail, 3)
        await assert_says(service, "seal", "3 entries are not sealed")


async def test_it_says_when_the_checkpoint_file_cannot_be_written(trail: Trail) -> None:
    async with running(trail, checkpoint_file=trail.directory / "none" / "checkpoints") as service:
        await say(trail, 1)
        await assert_says(service, "trail", "FileNotFoundError")


async def test_it_says_when_a_stream_was_put_back_behind_the_log(trail: Trail) -> None:
    async with running(trail) as service:
        await say(trail, 5)
        await trail.entered(5)
        await trail.nats.stop()
        shutil.rmtree(trail.nats.rendered.state / "jetstream")
        await trail.nats.restart()
        await trail.nats.provision()
        await assert_says(service, "trail", "CMD was put back", "the log has 5", "its mirror 0")


async def test_a_key_that_others_can_read_stops_it_before_it_connects(trail: Trail) -> None:
    async with running(trail):
        pass
    trail.signing_key_file.chmod(0o644)
    with pytest.raises(KeyUnusable):
        async with running(trail):
            pass


def test_every_mirror_has_an_origin() -> None:
    assert {Stream[mirror.name] for mirror in Mirror} == {Stream.CMD, Stream.EVT, Stream.DLQ, Stream.ADV}
