"""Leases and fates on a real server: one holder at a time, and a holder that knows when it no longer is."""

import asyncio
import time

import pytest

from shared.bus import Stream
from shared.bus.errors import LeaseHeld, LeaseLost, ReadFailed
from shared.bus.lease import Fates, Lease, Leases
from shared.bus.publishing import Unstored
from shared.events.values import Fate
from tests.integration.shared.bus.conftest import Connect
from tests.integration.shared.bus.messages import fate, run_id
from tests.servers.nats import NatsServer


async def claimed(leases: Leases, run: str, holder: str) -> Lease:
    """Claim as soon as it can be had."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await leases.claim(run, holder)  # pyright: ignore[reportArgumentType]
            except LeaseHeld as held:
                await asyncio.sleep(min(held.remaining_seconds, 0.1))


async def renewed(lease: Lease) -> None:
    """Renew as soon as the server answers again."""
    while True:
        try:
            return await lease.renew()
        except (Unstored, ReadFailed):
            continue


async def test_of_two_claimers_one_gets_it(connect: Connect) -> None:
    one, other, run = Leases(await connect("runner"), 30), Leases(await connect("runner"), 30), run_id()
    outcomes = await asyncio.gather(one.claim(run, "one"), other.claim(run, "other"), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Lease", "LeaseHeld"]
    held = next(outcome for outcome in outcomes if isinstance(outcome, LeaseHeld))
    assert 0 < held.remaining_seconds <= 30


async def test_a_lease_that_is_not_renewed_ends_and_the_next_fence_is_higher(connect: Connect) -> None:
    leases, run = Leases(await connect("runner"), 1), run_id()
    first = await leases.claim(run, "one")
    second = await claimed(leases, run, "two")
    assert second.fence > first.fence
    assert not first.alive
    with pytest.raises(LeaseLost):
        await first.renew()
    assert second.alive


async def test_a_stale_renewal_is_refused_by_the_server_too(connect: Connect) -> None:
    leases, run = Leases(await connect("runner"), 1), run_id()
    first = await leases.claim(run, "one")
    await claimed(leases, run, "two")
    first.deadline = time.monotonic() + 60  # as if its clock had stood still
    with pytest.raises(LeaseLost):
        await first.renew()


async def test_a_lease_that_is_kept_outlives_its_ttl(connect: Connect) -> None:
    leases, run = Leases(await connect("runner"), 1), run_id()
    lease = await leases.claim(run, "one")
    renewed = asyncio.Event()
    begun = time.monotonic()

    def count() -> None:
        if time.monotonic() > begun + 2.5:
            renewed.set()

    keeping = asyncio.create_task(lease.keep(lambda: pytest.fail("lost"), count))
    await asyncio.wait_for(renewed.wait(), 10)
    with pytest.raises(LeaseHeld):
        await leases.claim(run, "two")
    keeping.cancel()


async def test_a_released_lease_is_free_at_once(connect: Connect) -> None:
    leases, run = Leases(await connect("runner"), 60), run_id()
    first = await leases.claim(run, "one")
    await first.release()
    second = await leases.claim(run, "two")
    assert second.fence > first.fence
    await first.release()
    assert second.alive
    await second.renew()


async def test_a_dead_server_ends_the_lease_in_time(nats_server: NatsServer, connect: Connect) -> None:
    leases = Leases(await connect("runner"), 2)
    lease = await leases.claim(run_id(), "one")
    lost = asyncio.Event()
    keeping = asyncio.create_task(lease.keep(lost.set))
    await nats_server.kill()
    await asyncio.wait_for(lost.wait(), 3)
    assert time.monotonic() == pytest.approx(lease.deadline, abs=0.3)
    assert not lease.alive
    await keeping
    await nats_server.restart()


async def test_a_frozen_server_ends_the_lease_in_time(nats_server: NatsServer, connect: Connect) -> None:
    leases = Leases(await connect("runner"), 2)
    lease = await leases.claim(run_id(), "one")
    lost = asyncio.Event()
    keeping = asyncio.create_task(lease.keep(lost.set))
    await nats_server.freeze()
    await asyncio.wait_for(lost.wait(), 3)
    assert time.monotonic() == pytest.approx(lease.deadline, abs=0.3)
    await nats_server.thaw()
    await keeping


async def test_a_short_outage_does_not_end_the_lease_and_fences_go_on(nats_server: NatsServer, connect: Connect) -> None:
    leases, run = Leases(await connect("runner"), 20), run_id()
    lease = await leases.claim(run, "one")
    await nats_server.kill()
    await nats_server.restart()
    async with asyncio.timeout(15):
        await renewed(lease)
    await lease.release()
    assert (await leases.claim(run, "two")).fence > lease.fence


async def test_a_fate_is_heard_at_once_and_read_later(connect: Connect) -> None:
    runner, scheduler, run = await connect("runner"), await connect("scheduler"), run_id()
    fates = Fates(runner)
    assert await fates.get(run) is None
    heard: asyncio.Queue[Fate] = asyncio.Queue()
    unsubscribe = await fates.watch(run, heard.put_nowait)
    await scheduler.store(Stream.KV_FATE, f"$KV.fate.{run}", fate(Fate.CANCELLED), "an-id")
    assert await asyncio.wait_for(heard.get(), 5) is Fate.CANCELLED
    assert await fates.get(run) is Fate.CANCELLED
    await unsubscribe()
    late: asyncio.Queue[Fate] = asyncio.Queue()
    await fates.watch(run, late.put_nowait)
    assert late.get_nowait() is Fate.CANCELLED


async def test_a_fate_that_cannot_be_read_is_none(connect: Connect) -> None:
    scheduler, run = await connect("scheduler"), run_id()
    await scheduler.store(Stream.KV_FATE, f"$KV.fate.{run}", b'{"fate": "unknown"}', "an-id")
    assert await Fates(await connect("runner")).get(run) is None
