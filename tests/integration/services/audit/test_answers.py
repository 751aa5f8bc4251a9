from datetime import UTC, datetime, timedelta

import pytest

from services.audit import checkpoint, keys
from services.audit.answers import MAX_PAGE_BYTES
from services.audit.entry import Entry
from shared.bus.connection import Bus
from shared.bus.errors import Refused
from shared.bus.streams import Stream
from shared.events import ids
from shared.events.ids import OwnerId, TaskId
from shared.events.questions import AskCheckpoint, AskTrail, TrailPage
from tests.integration.services.audit.conftest import Trail, publish, until

ONE_PERSON, ANOTHER = OwnerId(ids.fresh()), OwnerId(ids.fresh())
ONE, TWO = TaskId(ids.fresh()), TaskId(ids.fresh())


async def say(trail: Trail, owner: str, task: str, *data: bytes) -> None:
    await publish(trail.nats, "gateway", Stream.CMD, f"cmd.scheduler.submit.{owner}.{task}", data)


async def ask(trail: Trail, question: AskTrail) -> TrailPage:
    bus = await Bus.connect(trail.nats.settings("gateway"))
    try:
        return await bus.ask(question)
    finally:
        await bus.stop()


async def test_everyone_is_shown_their_own_entries_alone(trail: Trail) -> None:
    await trail.started()
    await say(trail, ONE_PERSON, ONE, b"one 1")
    await say(trail, ANOTHER, ONE, b"another 1")
    await say(trail, ONE_PERSON, TWO, b"one 2")
    await say(trail, "-", "-", b"nobody's")
    await trail.entered(4)
    assert [entry.data for entry in (await ask(trail, AskTrail(owner=ONE_PERSON))).entries] == [b"one 1", b"one 2"]
    assert [entry.data for entry in (await ask(trail, AskTrail(owner=ANOTHER))).entries] == [b"another 1"]
    assert [entry.data for entry in (await ask(trail, AskTrail(owner=ONE_PERSON, task_id=TWO))).entries] == [b"one 2"]
    assert (await ask(trail, AskTrail(owner=ANOTHER, task_id=TWO))).entries == ()
    assert (await ask(trail, AskTrail(owner=OwnerId(ids.fresh())))).entries == ()


async def test_an_entry_says_where_it_stands(trail: Trail) -> None:
    await trail.started()
    await say(trail, ONE_PERSON, ONE, b'{"id": "%s", "type": "scheduler.submit.v1"}' % TWO.encode())
    await trail.entered(1)
    [entry] = (await ask(trail, AskTrail(owner=ONE_PERSON))).entries
    assert (entry.index, entry.stream, entry.stream_sequence, entry.subject) == (0, "CMD", 1, f"cmd.scheduler.submit.{ONE_PERSON}.{ONE}")
    assert (entry.event_id, entry.type) == (TWO, "scheduler.submit.v1")
    assert abs(datetime.now(UTC) - entry.stored_at) < timedelta(minutes=5)


async def test_an_entry_holds_all_that_its_hash_is_made_of(trail: Trail) -> None:
    await trail.started()
    headers = {"Nats-Msg-Id": "an id", "Odd": "ä"}
    await publish(trail.nats, "gateway", Stream.CMD, f"cmd.scheduler.submit.{ONE_PERSON}.{ONE}", [b"\xff"], headers=headers)
    await trail.entered(1)
    [shown] = (await ask(trail, AskTrail(owner=ONE_PERSON))).entries
    leaf = Entry(shown.stream, shown.stream_sequence, shown.subject, shown.headers, shown.stored_at, shown.data)
    assert leaf.leaf_hash() == await trail.superuser.fetchval("select leaf_hash from audit.entries")
    assert b"an id" in shown.headers


async def test_pages_hold_every_entry_once(trail: Trail) -> None:
    await trail.started()
    await say(trail, ONE_PERSON, ONE, *(f"{n}".encode() for n in range(7)))
    await trail.entered(7)
    seen, after = list[bytes](), -1
    while True:
        page = await ask(trail, AskTrail(owner=ONE_PERSON, after=after, limit=3))
        assert len(page.entries) <= 3
        seen += [entry.data for entry in page.entries]
        if page.next_after is None:
            break
        after = page.next_after
    assert seen == [f"{n}".encode() for n in range(7)]


@pytest.mark.parametrize(("after", "limit"), [(-(2**70), 0), (2**70, 10**9), (-1, -1)])
async def test_bounds_that_nobody_means_are_answered(trail: Trail, after: int, limit: int) -> None:
    await trail.started()
    await say(trail, ONE_PERSON, ONE, b"x")
    await trail.entered(1)
    assert len((await ask(trail, AskTrail(owner=ONE_PERSON, after=after, limit=limit))).entries) == (0 if after > 0 else 1)


async def test_large_entries_are_paged_by_their_size(trail: Trail) -> None:
    await trail.started()
    large = b"x" * (MAX_PAGE_BYTES // 2 - 100)  # its headers count too
    await say(trail, ONE_PERSON, ONE, large, large, b"y" * (MAX_PAGE_BYTES + 1), large)
    await trail.entered(4)
    first = await ask(trail, AskTrail(owner=ONE_PERSON))
    assert [len(entry.data) for entry in first.entries] == [len(large)] * 2
    assert first.next_after == 1
    second = await ask(trail, AskTrail(owner=ONE_PERSON, after=1))
    assert ([len(entry.data) for entry in second.entries], second.next_after) == ([len(large)], None)


async def test_the_newest_checkpoint_is_the_published_one(trail: Trail) -> None:
    service = await trail.started()

    async def ready() -> bool:
        return (await service.readiness()).get("ready") is True

    await until(ready, "readiness")
    bus = await Bus.connect(trail.nats.settings("gateway"))
    try:
        with pytest.raises(Refused) as refused:
            await bus.ask(AskCheckpoint())
        assert refused.value.reason == "not_found"
        await say(trail, ONE_PERSON, ONE, b"x")
        await trail.entered(1)
        note = ""

        async def answered() -> bool:
            nonlocal note
            try:
                note = (await bus.ask(AskCheckpoint())).note
            except Refused:
                return False
            return True

        await until(answered, "checkpoint")
    finally:
        await bus.stop()
    assert trail.checkpoint_file.read_text() == f"{note}\n"
    assert checkpoint.verify(note, keys.load_verifier_key(trail.key_file)).size == 1
