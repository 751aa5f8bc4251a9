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
from tests.integration.shared.bus.messages import fate, prepare, queued, run_id

FORGED = "blob.checkpoint.forged.0"


async def forge(runner: Bus, payload: bytes, subject: str) -> None:
    """What a compromised runner could do: have the server answer a Direct Get of its own bytes to any subject."""
    await runner.nats.request(FORGED + ids.fresh(), payload, timeout=5)
    sequence = (await runner.read(Stream.BLOB_CHECKPOINT, ">", after=0))[-1].sequence
    await runner.nats.publish(f"$JS.API.DIRECT.GET.{Stream.BLOB_CHECKPOINT}", b'{"seq": %d}' % sequence, reply=subject)
    await flushed(runner.nats)


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


async def test_what_one_may_not_read_is_said(connect: Connect) -> None:
    git = await connect("git")
    with pytest.raises(NotPermitted, match="git may not read OUT"):
        await git.read(Stream.OUT, "out.>", after=0)


async def test_a_forged_command_is_a_dead_letter(connect: Connect, ops: Bus) -> None:
    runner, git = await connect("runner"), await connect("git")
    handled: list[str] = []

    async def handle(envelope: AnyEnvelope, _delivery: Delivery) -> None:
        handled.append(envelope.id)

    git.consume(Stream.CMD, Durable.GIT, handle)
    await git.start()
    command = prepare()
    await forge(runner, command.encode(), command.nats_subject)
    (letter,) = await eventually(lambda: everything(ops, Stream.DLQ), bool)
    assert letter.data == command.encode()
    assert handled == []


async def test_a_forged_question_is_not_answered(connect: Connect) -> None:
    runner, gateway = await connect("runner"), await connect("gateway")
    asked: list[str] = []

    async def prompt(question: AskRunInput) -> RunInput:
        asked.append(question.run_id)
        return RunInput(prompt="")

    gateway.answer(AskRunInput, prompt)
    await gateway.start()
    genuine, forged_one = (
        AskRunInput.model_validate({"owner": ids.fresh(), "task_id": ids.fresh(), "run_id": ids.fresh()}) for _ in range(2)
    )
    await forge(runner, forged_one.model_dump_json().encode(), AskRunInput.METHOD)
    await runner.ask(genuine)
    assert asked == [genuine.run_id]


async def test_a_forged_fact_is_not_read(connect: Connect, ops: Bus) -> None:
    runner, git, gateway = await connect("runner"), await connect("git"), await connect("gateway")
    fact = queued()
    await forge(runner, fact.encode(), fact.nats_subject)
    await runner.publish_output("out.o.t.r", b"after it", "an id")
    await eventually(lambda: gateway.read(Stream.OUT, "out.>", after=0), bool)
    assert b'"messages":1' in (await ops.nats.request("$JS.API.STREAM.INFO.EVT", timeout=5)).data.replace(b" ", b"")
    assert await git.last_fact(fact.nats_subject) is None
    assert await gateway.read(Stream.EVT, fact.nats_subject, after=0) == []


async def test_a_forged_fate_is_neither_heard_nor_read(connect: Connect) -> None:
    runner, run = await connect("runner"), run_id()
    heard: list[Fate] = []
    await Fates(runner).watch(run, heard.append)
    await forge(runner, fate(Fate.CANCELLED), f"$KV.fate.{run}")
    assert await Fates(runner).get(run) is None
    assert heard == []
