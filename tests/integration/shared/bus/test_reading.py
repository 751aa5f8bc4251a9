"""Reading streams without a consumer: in order, in pages, and without what was forged."""

import asyncio

import pytest

from shared.bus import Bus, Delivery, Durable, Stream
from shared.bus.client import flushed
from shared.bus.errors import NotPermitted
from shared.bus.lease import Fates
from shared.events import ids
from shared.events.envelope import AnyEnvelope
from shared.events.questions import AskRunInput, RunInput
from shared.events.values import Fate
from tests.integration.shared.bus.conftest import Connect, eventually, everything
from tests.integration.shared.bus.messages import MALFORMED, fate, prepare, queued, raw, run_id

MARKED = {"Nats-Stream": "BLOB_CHECKPOINT"}
"""What the answer to a Direct Get carries. How far such answers reach: tests/integration/deploy/nats/test_borders.py."""


async def test_what_was_stored_is_read_in_order_and_on_from_any_point(connect: Connect) -> None:
    runner, gateway = await connect("runner"), await connect("gateway")
    sequences = [await runner.publish_output("out.o.t.r", b"%d" % number, f"id {number}") for number in range(1, 1_201)]
    await runner.publish_output("out.o.other.r", b"other", "id other")
    read = await gateway.read(Stream.OUT, "out.*.t.>", after=0, limit=2_000)
    assert [message.sequence for message in read] == sequences
    assert [message.data for message in read] == [b"%d" % number for number in range(1, 1_201)]
    assert [message.data for message in await gateway.read(Stream.OUT, "out.*.t.>", after=sequences[9], limit=2)] == [b"11", b"12"]
    assert await gateway.read(Stream.OUT, "out.*.t.>", after=sequences[-1]) == []
    assert await gateway.read(Stream.OUT, "out.*.nothing.>", after=0) == []


async def test_several_subjects_are_read_as_one_sequence(connect: Connect) -> None:
    runner, gateway = await connect("runner"), await connect("gateway")
    for number in range(9):
        await runner.publish_output(f"out.o.t.{number % 3}", b"%d" % number, f"id {number}")
    read = await gateway.read(Stream.OUT, ["out.o.t.0", "out.o.t.1"], after=1, limit=3)
    assert [message.data for message in read] == [b"1", b"3", b"4"]


async def test_an_id_is_stored_once(connect: Connect) -> None:
    runner = await connect("runner")
    first = await runner.publish_output("out.o.t.r", b"line", "an id")
    assert await runner.publish_output("out.o.t.r", b"line", "an id") == first


async def test_an_id_that_another_has_used_first_hides_no_fact(connect: Connect) -> None:
    """Ids follow from their cause: who reads it can use the id of what comes next, and the server drops the genuine fact as sent."""
    runner, scheduler, git = await connect("runner"), await connect("scheduler"), await connect("git")
    fact = queued()
    owner_and_task = fact.nats_subject.split(".", 3)[3]
    await runner.publisher.attempt(Stream.EVT, f"evt.run.started.{owner_and_task}", b"{}", {"Nats-Msg-Id": fact.id})
    await scheduler.publish(fact)
    assert await git.last_fact(fact.nats_subject) == fact
    before = (await git.read(Stream.EVT, "evt.>", after=0))[-1].sequence
    await scheduler.publish(queued())
    await scheduler.publish(again := queued())
    await scheduler.publish(again)
    assert len(await git.read(Stream.EVT, "evt.>", after=before)) == 2


async def test_a_wake_up_then_a_read_misses_nothing(connect: Connect) -> None:
    runner, gateway = await connect("runner"), await connect("gateway")
    woken: asyncio.Queue[str] = asyncio.Queue()
    unsubscribe = await gateway.subscribe("out.*.t.>", woken.put_nowait)
    await runner.publish_output("out.o.t.r", b"line", "an id")
    assert await asyncio.wait_for(woken.get(), 5) == "out.o.t.r"
    (line,) = await eventually(lambda: gateway.read(Stream.OUT, "out.*.t.>", after=0), bool)
    assert line.data == b"line"
    await unsubscribe()


async def test_the_last_fact(connect: Connect) -> None:
    scheduler, git = await connect("scheduler"), await connect("git")
    fact = queued()
    assert await git.last_fact(fact.nats_subject) is None
    await scheduler.publish(fact)
    assert await git.last_fact(fact.nats_subject) == fact


async def test_large_reads_are_complete(connect: Connect) -> None:
    runner, gateway = await connect("runner"), await connect("gateway")
    for number in range(30):
        await runner.publish_output("out.o.t.r", b"%d " % number * 200_000, f"id {number}")
    assert len(await gateway.read(Stream.OUT, "out.o.t.r", after=0, limit=100)) == 30


async def test_headers_of_a_writer_do_not_pass_for_the_streams(connect: Connect) -> None:
    runner, gateway = await connect("runner"), await connect("gateway")
    await runner.publish_output("out.o.t.r", b"1", "id 1")
    lies = {"Nats-Sequence": "1", "Nats-Subject": "out.o.t.other", "Nats-Time-Stamp": "2000-01-01T00:00:00Z"}
    await runner.publisher.attempt(Stream.OUT, "out.o.t.r", b"2", lies)
    await runner.publish_output("out.o.t.r", b"3", "id 3")
    read = await asyncio.wait_for(gateway.read(Stream.OUT, "out.o.t.r", after=0), 10)
    assert [(message.sequence, message.subject) for message in read] == [(1, "out.o.t.r"), (2, "out.o.t.r"), (3, "out.o.t.r")]


@pytest.mark.parametrize("status", ["204", "404", "408", "503", "x"])
async def test_a_message_that_calls_itself_a_status_is_a_message(connect: Connect, status: str) -> None:
    """Else one such message would end every read at its place for ever."""
    runner, gateway = await connect("runner"), await connect("gateway")
    await runner.publish_output("out.o.t.r", b"1", "id 1")
    await runner.publisher.attempt(Stream.OUT, "out.o.t.r", b"2", {"Status": status, "Nats-Num-Pending": "0"})
    await raw(runner, "out.o.t.r", f"NATS/1.0 {status} EOB\r\nNats-Num-Pending: 0\r\n\r\n".encode(), b"3")
    await runner.publish_output("out.o.t.r", b"4", "id 4")
    read = await asyncio.wait_for(gateway.read(Stream.OUT, "out.o.t.r", after=0), 10)
    assert [message.data for message in read] == [b"1", b"2", b"3", b"4"]
    await runner.publisher.attempt(Stream.OUT, "out.o.t.r", b"5", {"Status": status})
    assert [message.data for message in await gateway.reader.last_of_each(Stream.OUT, ["out.o.t.r"])] == [b"5"]
    last = await gateway.reader.last(Stream.OUT, "out.o.t.r")
    assert last is not None
    assert last.data == b"5"


async def test_the_last_fact_is_found_whatever_status_it_claims(connect: Connect) -> None:
    scheduler, git = await connect("scheduler"), await connect("git")
    fact = queued()
    await scheduler.publisher.attempt(Stream.EVT, fact.nats_subject, fact.encode(), {"Status": "404"})
    assert await git.last_fact(fact.nats_subject) == fact


@pytest.mark.parametrize("header", MALFORMED)
async def test_headers_that_are_none_stop_no_reader(connect: Connect, header: bytes) -> None:
    runner, gateway = await connect("runner"), await connect("gateway")
    await raw(runner, "out.o.t.r", header, b"1")
    await runner.publish_output("out.o.t.r", b"2", "id 2")
    read = await asyncio.wait_for(gateway.read(Stream.OUT, "out.o.t.r", after=0), 10)
    assert [message.data[-1:] for message in read] == [b"1", b"2"]  # the server counts a header of one byte as data


@pytest.mark.parametrize("header", [*MALFORMED, None])
async def test_nothing_that_is_sent_makes_a_listener_deaf(connect: Connect, header: bytes | None) -> None:
    """The server itself breaks the stream of bytes at some headers: then the client connects again."""
    runner, gateway = await connect("runner"), await connect("gateway")
    heard: set[str] = set()
    await gateway.subscribe("out.>", heard.add)
    if header is None:
        await runner.nats._send_command(b"PUB out.\xff.t 0\r\n\r\n")  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType]  # noqa: SLF001
        await flushed(runner.nats)
    else:
        await raw(runner, "out.odd.t", header, b"1")

    async def say_and_listen() -> bool:
        await runner.publish_output("out.o.t.r", b"2", ids.fresh())
        return "out.o.t.r" in heard

    await eventually(say_and_listen, bool, seconds=8)  # less than the pings take to notice a client that reads no more


async def test_what_one_may_not_read_is_said(connect: Connect) -> None:
    git = await connect("git")
    with pytest.raises(NotPermitted, match="git may not read OUT"):
        await git.read(Stream.OUT, "out.>", after=0)


async def test_a_command_with_the_marks_of_a_direct_get_is_a_dead_letter(connect: Connect, ops: Bus) -> None:
    scheduler, git = await connect("scheduler"), await connect("git")
    handled: list[str] = []

    async def handle(envelope: AnyEnvelope, _delivery: Delivery) -> None:
        handled.append(envelope.id)

    git.consume(Stream.CMD, Durable.GIT, handle)
    await git.start()
    command = prepare()
    await scheduler.publisher.attempt(Stream.CMD, command.nats_subject, command.encode(), MARKED)
    (letter,) = await eventually(lambda: everything(ops, Stream.DLQ), bool)
    assert letter.data == command.encode()
    assert handled == []


async def test_a_question_with_those_marks_is_not_answered(connect: Connect) -> None:
    runner, gateway = await connect("runner"), await connect("gateway")
    asked: list[str] = []

    async def prompt(question: AskRunInput) -> RunInput:
        asked.append(question.run_id)
        return RunInput(prompt="")

    gateway.answer(AskRunInput, prompt)
    await gateway.start()
    genuine, marked = (AskRunInput.model_validate({"owner": ids.fresh(), "task_id": ids.fresh(), "run_id": ids.fresh()}) for _ in range(2))
    await runner.nats.publish(AskRunInput.METHOD, marked.model_dump_json().encode(), reply=runner.nats.new_inbox(), headers=MARKED)
    await runner.ask(genuine)
    assert asked == [genuine.run_id]


async def test_a_fact_with_those_marks_is_not_read(connect: Connect) -> None:
    scheduler, git, gateway = await connect("scheduler"), await connect("git"), await connect("gateway")
    fact = queued()
    await scheduler.publisher.attempt(Stream.EVT, fact.nats_subject, fact.encode(), MARKED)
    assert await git.last_fact(fact.nats_subject) is None
    assert await gateway.read(Stream.EVT, fact.nats_subject, after=0) == []


async def test_a_fate_with_those_marks_is_neither_heard_nor_read(connect: Connect) -> None:
    scheduler, runner, run, later = await connect("scheduler"), await connect("runner"), run_id(), run_id()
    heard: list[Fate] = []
    for watched in (run, later):
        await Fates(runner).watch(watched, heard.append)
    await scheduler.publisher.attempt(Stream.KV_FATE, f"$KV.fate.{run}", fate(Fate.CANCELLED), MARKED)
    await scheduler.store(Stream.KV_FATE, f"$KV.fate.{later}", fate(Fate.FINISHED), "an id")
    await eventually(lambda: Fates(runner).get(later), bool)
    await flushed(runner.nats)
    assert await Fates(runner).get(run) is None
    assert heard == [Fate.FINISHED]
