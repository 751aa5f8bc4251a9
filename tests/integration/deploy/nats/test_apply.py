"""Provisioning a real server: what is created, that a second time changes nothing, and what is refused."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from nats.js.client import JetStreamContext

from deploy.nats import apply as provisioning
from deploy.nats import topology
from deploy.nats.api import Api, ApiRefused
from deploy.nats.apply import ApplySettings, DestructiveDrift
from deploy.nats.render import RenderSettings, render
from deploy.nats.rooms import MIB, parse
from deploy.nats.topology import DAY, Account
from shared.bus.client import open_client
from shared.bus.errors import BusUnreachable, NotAuthorized
from shared.bus.streams import Durable, Mirror, Stream
from tests.servers.nats import NatsServer, free_port


async def provisioner(server: NatsServer, user: str = "provisioner") -> Api:
    return await Api.connect(server.url, user, server.rendered.seed_file(user), None, 10)


async def command(server: NatsServer, payload: bytes) -> None:
    client = await open_client(
        url=server.url, user="scheduler", nkey_file=server.rendered.seed_file("scheduler"), ca_file=None, deadline_seconds=10
    )
    await JetStreamContext(client).publish("cmd.git.prepare.-.-", payload, stream="CMD")
    await client.close()


@pytest.fixture
async def api(nats_server: NatsServer) -> AsyncIterator[Api]:
    connected = await provisioner(nats_server)
    yield connected
    await connected.close()


def settings(server: NatsServer) -> ApplySettings:
    return ApplySettings(url=server.url, state=server.rendered.state, store_bytes=server.rendered.store_bytes, deadline_seconds=10)


async def test_everything_of_the_topology_is_there_and_the_mirrors_follow(nats_server: NatsServer, api: Api) -> None:
    audit = await provisioner(nats_server, "provisioner-audit")
    for stream in topology.STREAMS:
        connection = api if stream.account is Account.APP else audit
        info = await connection.call(f"STREAM.INFO.{stream.name}")
        assert info["config"]["max_bytes"] == stream.max_bytes(nats_server.rendered.store_bytes)
        if stream.mirror_of:
            assert info["mirror"]["active"] >= 0
            assert info["config"]["deny_delete"]
            assert info["config"]["deny_purge"]
    for consumer in topology.CONSUMERS:
        await api.call(f"CONSUMER.INFO.{consumer.stream}.{consumer.durable}")
    await audit.close()


async def test_a_second_time_changes_nothing(nats_server: NatsServer, api: Api) -> None:
    before = [(await api.call(f"STREAM.INFO.{stream}"))["config"] for stream in Stream]
    await provisioning.apply(settings(nats_server))
    assert [(await api.call(f"STREAM.INFO.{stream}"))["config"] for stream in Stream] == before


async def test_a_durable_that_is_no_longer_of_the_topology_stays_and_hinders_nothing(nats_server: NatsServer) -> None:
    audit = await provisioner(nats_server, "provisioner-audit")
    left_over = {"durable_name": "audit", "name": "audit", "ack_policy": "explicit", "deliver_policy": "all"}
    await audit.call(f"CONSUMER.CREATE.{Mirror.CMD}.audit", {"stream_name": Mirror.CMD, "config": left_over, "action": "create"})
    await provisioning.apply(settings(nats_server))
    assert (await audit.call(f"CONSUMER.INFO.{Mirror.CMD}.audit"))["name"] == "audit"
    await audit.close()


@pytest.mark.parametrize("denied", ["deny_delete", "deny_purge"])
async def test_what_may_never_be_deleted_stays_so(api: Api, denied: str) -> None:
    config = (await api.call(f"STREAM.INFO.{Stream.BLOB_RESULT}"))["config"]
    with pytest.raises(ApiRefused, match="deny"):
        await api.call(f"STREAM.UPDATE.{Stream.BLOB_RESULT}", config | {denied: False})


async def test_a_larger_store_is_taken_over(nats_server: NatsServer, api: Api) -> None:
    smaller = replace(settings(nats_server), store_bytes=nats_server.rendered.store_bytes // 2)
    await provisioning.apply(smaller)
    assert (await api.call("STREAM.INFO.CMD"))["config"]["max_bytes"] == topology.STREAMS[0].max_bytes(smaller.store_bytes)


async def test_parts_are_shifted_in_place_in_a_store_that_has_no_room_for_both(nats_server: NatsServer, api: Api) -> None:
    """All of the store is reserved: what gets smaller must go first, also across accounts, and nothing is deleted."""
    await command(nats_server, b"kept")
    held = (await api.call("STREAM.INFO.CMD"))["state"]
    given = parse('{"CMD": {"mib": 90}, "EVT": {"mib": 200, "days": 60}, "AUDIT_EVT": {"mib": 40}, "OUT": {"mib": 62, "days": 3}}')
    before = {spec.name: spec.max_bytes(nats_server.rendered.store_bytes) for spec in topology.STREAMS}
    assert sum((before | {name: room.mib * MIB for name, room in given.items() if room.mib}).values()) <= nats_server.rendered.store_bytes
    await provisioning.apply(replace(settings(nats_server), rooms=given))
    now = {name: (await api.call(f"STREAM.INFO.{name}"))["config"] for name in ("CMD", "EVT", "OUT")}
    assert {name: config["max_bytes"] // MIB for name, config in now.items()} == {"CMD": 90, "EVT": 200, "OUT": 62}
    assert (now["EVT"]["max_age"], now["OUT"]["max_age"]) == (60 * DAY * 10**9, 3 * DAY * 10**9)
    assert (await api.call("STREAM.INFO.CMD"))["state"] == held
    await provisioning.apply(settings(nats_server))
    assert (await api.call("STREAM.INFO.EVT"))["config"]["max_bytes"] == before[Stream.EVT]


async def test_a_server_started_with_a_smaller_store_keeps_what_it_holds(tmp_path: Path) -> None:
    """As at a restart after the operator lowered a figure: the server has the new bound before the streams do."""
    server = NatsServer(tmp_path / "nats", store_bytes=200 * MIB)
    await server.start()
    try:
        await server.provision()
        await command(server, b"kept")
        await server.stop()
        server.rendered = replace(server.rendered, store_bytes=50 * MIB)
        await server.restart()
        await server.provision()
        connected = await provisioner(server)
        info = await connected.call("STREAM.INFO.CMD")
        assert (info["config"]["max_bytes"], info["state"]["messages"]) == (topology.STREAMS[0].max_bytes(50 * MIB), 1)
        await connected.close()
    finally:
        await server.stop()


async def test_what_would_drop_messages_is_refused(nats_server: NatsServer) -> None:
    await command(nats_server, b"x" * 4_000)
    with pytest.raises(DestructiveDrift, match="CMD: it holds"):
        await provisioning.apply(replace(settings(nats_server), store_bytes=10_000))


async def test_a_lost_consumer_of_cmd_is_not_created_over_held_commands(nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    await command(nats_server, b"work")
    lost = topology.ConsumerSpec(stream=Stream.CMD, durable=Durable.GATEWAY, filters=("cmd.gateway.>",))
    monkeypatch.setattr(topology, "CONSUMERS", (*topology.CONSUMERS, lost))
    with pytest.raises(DestructiveDrift, match="offer executed commands again"):
        await provisioning.apply(settings(nats_server))


async def test_a_changed_consumer_is_brought_up_to_date(nats_server: NatsServer, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = tuple(replace(consumer, ack_wait_seconds=45) for consumer in topology.CONSUMERS)
    monkeypatch.setattr(topology, "CONSUMERS", changed)
    await provisioning.apply(settings(nats_server))
    assert (await api.call("CONSUMER.INFO.CMD.runner"))["config"]["ack_wait"] == 45 * 10**9


async def test_an_absent_server_is_named_at_the_deadline(nats_server: NatsServer) -> None:
    nowhere = replace(settings(nats_server), url=f"nats://127.0.0.1:{free_port()}", deadline_seconds=0.5)
    with pytest.raises(BusUnreachable, match="Connect call failed"):
        await provisioning.apply(nowhere)


async def test_an_unknown_key_is_refused_at_once(nats_server: NatsServer, tmp_path: Path) -> None:
    stranger = RenderSettings(state=tmp_path / "stranger", port=1)
    render(stranger)
    with pytest.raises(NotAuthorized):
        await provisioning.apply(replace(settings(nats_server), state=stranger.state, deadline_seconds=60))
