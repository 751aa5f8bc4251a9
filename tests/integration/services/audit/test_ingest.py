import asyncio
import json

import asyncpg
import pytest

from services.audit import entry
from services.audit.verify import describe
from shared.bus.streams import Stream
from shared.events import envelope, ids
from shared.events.facts import ProjectCreated
from shared.events.ids import ProjectId
from tests.integration.services.audit.conftest import Trail, publish, until

OWNER, TASK = ids.fresh(), ids.fresh()


def facts(count: int) -> list[bytes]:
    return [envelope.new(ProjectCreated(project_id=ProjectId(ids.fresh())), source="gateway", owner=OWNER).encode() for _ in range(count)]


async def commands(trail: Trail, count: int) -> None:
    await publish(trail.nats, "gateway", Stream.CMD, f"cmd.scheduler.submit.{OWNER}.{TASK}", [f"{n}".encode() for n in range(count)])


async def events(trail: Trail, count: int) -> None:
    await publish(trail.nats, "gateway", Stream.EVT, f"evt.project.created.{OWNER}.-", facts(count))


async def dead_letters(trail: Trail, count: int) -> None:
    headers = {"Async-Code-Error": "InvalidMessage: not JSON"}
    payloads = [f"{n}".encode() for n in range(count)]
    await publish(trail.nats, "scheduler", Stream.DLQ, f"dlq.git.prepare.{OWNER}.{TASK}", payloads, headers=headers)


async def assert_proved(trail: Trail, **streams: int) -> None:
    report = await trail.report()
    assert report.verified, describe(report)
    assert report.streams == streams
    assert report.unsealed == 0


async def test_thousands_of_messages_of_several_streams_are_entered_in_their_order(trail: Trail) -> None:
    await trail.started()
    await asyncio.gather(commands(trail, 1_500), events(trail, 3_000), dead_letters(trail, 500))
    await trail.entered(5_000)
    await assert_proved(trail, CMD=1_500, EVT=3_000, DLQ=500)
    rows = await trail.superuser.fetch("select stream, stream_sequence, data from audit.entries where stream = 'CMD' order by index")
    assert [(row["stream_sequence"], row["data"]) for row in rows] == [(n + 1, f"{n}".encode()) for n in range(1_500)]


async def test_an_entry_is_what_was_received_byte_for_byte(trail: Trail) -> None:
    await trail.started()
    [fact] = facts(1)
    await publish(trail.nats, "gateway", Stream.EVT, f"evt.project.created.{OWNER}.-", [fact], headers={"Nats-Msg-Id": "an-id", "b": " x "})
    await trail.entered(1)
    row = await trail.superuser.fetchrow("select * from audit.entries")
    assert row is not None
    assert row["data"] == fact
    assert row["headers"] == entry.encode_headers({"Nats-Msg-Id": "an-id", "b": "x"})
    assert (row["subject"], str(row["owner"]), row["task"]) == (f"evt.project.created.{OWNER}.-", OWNER, None)
    assert (str(row["event_id"]), row["type"]) == (json.loads(fact)["id"], "project.created.v1")


HOSTILE: list[tuple[str, bytes, dict[str, str]]] = [
    ("cmd.scheduler.x", b"", {}),
    ("cmd.scheduler.x", b"\xff\x00 no json", {}),
    ("cmd.scheduler.nul\0in.the.subject", b"{}", {}),
    ("cmd.scheduler.back\\slash", b'{"id": "\\u0000", "type": "\\u0000"}', {}),
    ("cmd.scheduler.ends-the-batch", b"a", {"Status": "204", "Description": "EOB"}),
    ("cmd.scheduler.not-found", b"a", {"Status": "404"}),
    ("cmd.scheduler.forged", b"b", {"Nats-Stream": "EVT", "Nats-Subject": "evt.x", "Nats-Sequence": "99", "Nats-Time-Stamp": "never"}),
    ("cmd.scheduler.deep", b"[" * 50_000, {}),
    ("cmd.scheduler.long", b"x" * 900_000, {}),
    ("cmd.scheduler." + "y" * 2_000, b"{}", {}),
    ("cmd.scheduler.last", b"{}", {}),
]
"""What a service that was taken over may store. Each is entered; none hides what comes after it."""


async def test_whatever_a_service_stores_is_entered(trail: Trail) -> None:
    await trail.started()
    for subject, data, headers in HOSTILE:
        await publish(trail.nats, "gateway", Stream.CMD, subject, [data], headers=headers)
    await trail.entered(len(HOSTILE))
    await assert_proved(trail, CMD=len(HOSTILE))
    rows = await trail.superuser.fetch("select subject, data from audit.entries order by index")
    assert [(row["subject"], row["data"]) for row in rows] == [(entry.printable(subject), data) for subject, data, _ in HOSTILE]


async def test_one_id_in_two_streams_and_twice_in_one_hides_nothing(trail: Trail) -> None:
    await trail.started()
    [fact] = facts(1)
    for message_id in ("one", "two"):
        await publish(trail.nats, "gateway", Stream.EVT, f"evt.project.created.{OWNER}.-", [fact], headers={"Nats-Msg-Id": message_id})
        await publish(
            trail.nats, "gateway", Stream.CMD, f"cmd.scheduler.submit.{OWNER}.{TASK}", [fact], headers={"Nats-Msg-Id": message_id}
        )
    await trail.entered(4)
    assert await trail.superuser.fetchval("select count(*) from audit.entries where event_id = $1", json.loads(fact)["id"]) == 4
    await assert_proved(trail, CMD=2, EVT=2)


async def test_nothing_is_lost_or_doubled_when_the_service_is_killed_again_and_again(trail: Trail) -> None:
    service = await trail.started()
    publishing = asyncio.gather(commands(trail, 6_000), events(trail, 6_000))
    for size in (500, 2_000, 4_000, 8_000):

        async def reached(size: int = size) -> bool:
            return await trail.size() >= size

        await until(reached, f"{size} entries")
        await service.kill()
        await service.start()
    await publishing
    await trail.entered(12_000)
    await assert_proved(trail, CMD=6_000, EVT=6_000)


async def test_nothing_is_lost_or_doubled_when_the_bus_is_killed(trail: Trail) -> None:
    await trail.started()
    await commands(trail, 1_000)
    await trail.nats.kill()
    await trail.nats.restart()
    await commands(trail, 1_000)
    await trail.entered(2_000)
    await assert_proved(trail, CMD=2_000)


async def test_nothing_is_lost_or_doubled_when_the_database_is_killed(trail: Trail) -> None:
    service = await trail.started()
    await commands(trail, 100)
    await trail.entered(100)
    trail.database.server.kill()
    await commands(trail, 900)
    try:
        await until(lambda: service.has_logged("trail_interrupted"), "interruption")
    finally:
        trail.database.server.start()
    trail.superuser = await trail.database.connect()
    try:
        await commands(trail, 1_000)
        await trail.entered(2_000)
        await assert_proved(trail, CMD=2_000)
    finally:
        trail.superuser.terminate()


async def test_a_standby_takes_over_where_the_writer_was_killed(trail: Trail) -> None:
    writer = await trail.started()
    await commands(trail, 100)
    await trail.entered(100)
    standby = await trail.started()

    async def stands_by() -> bool:
        return bool(standby.logged("trail_role")) and (await standby.readiness()).get("ready") is True

    await until(stands_by, "standby")
    assert standby.logged("trail_role")[-1]["role"] == "standby"
    await commands(trail, 100)
    await trail.entered(200)
    assert not standby.logged("trail_taken_up")
    await writer.kill()
    await commands(trail, 100)
    await trail.entered(300)
    assert standby.logged("trail_taken_up")[-1]["size"] == 200
    await assert_proved(trail, CMD=300)


async def test_two_writers_that_both_believe_they_are_one_cannot_enter_one_thing_twice(trail: Trail) -> None:
    """The lock may be lost without a word; the primary key decides then."""
    service = await trail.started()
    await commands(trail, 10)
    await trail.entered(10)
    await trail.superuser.execute(
        "insert into audit.entries (index, stream, stream_sequence, subject, headers, stored_at, data, leaf_hash)"
        " select 10, 'CMD', 11, 'x', '', now(), '', sha256('')"
    )
    await commands(trail, 10)
    await until(lambda: service.has_logged("trail_interrupted"), "interruption")
    await trail.entered(20)
    assert await trail.superuser.fetchval("select count(distinct index) from audit.entries") == 20


async def test_the_services_own_role_cannot_change_what_is_entered(trail: Trail) -> None:
    await trail.started()
    await commands(trail, 3)
    await trail.entered(3)
    settings = trail.database.settings("audit")
    session = await asyncpg.connect(settings.url, password=settings.password_file.read_text().strip())
    try:
        for statement in (
            "update audit.entries set data = ''",
            "delete from audit.entries",
            "truncate audit.entries",
            "update audit.checkpoints set note = ''",
            "delete from audit.checkpoints",
            "alter table audit.entries disable trigger append_only",
            "drop table audit.entries",
            "set session_replication_role = replica",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await session.execute(statement)
    finally:
        await session.close()


async def test_a_superuser_is_refused_too_also_as_a_replica(trail: Trail) -> None:
    await trail.started()
    await commands(trail, 3)
    await trail.entered(3)
    for setting in ("origin", "replica"):
        await trail.superuser.execute(f"set session_replication_role = {setting}")
        for statement in ("update audit.entries set data = ''", "delete from audit.entries", "truncate audit.checkpoints"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
                await trail.superuser.execute(statement)
