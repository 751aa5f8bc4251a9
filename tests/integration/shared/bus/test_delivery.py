"""How a delivered message ends, on a real server: by what its handler does, once, whatever happens in between."""

import asyncio
from collections.abc import Callable

import pytest

from shared.bus import Bus, Delivery, Durable, Stream
from shared.bus.advisories import DeadLetterWatch
from shared.bus.dead_letters import ERROR_CODE, ORIGIN_SEQUENCE, ORIGIN_STREAM
from shared.bus.errors import NotReady, Postpone, Terminal, Transient
from shared.events import catalogue
from shared.events.envelope import AnyEnvelope
from shared.events.facts import CommandDeadLettered
from tests.integration.shared.bus.conftest import Connect, Reconfigure, eventually, everything
from tests.integration.shared.bus.messages import MALFORMED, prepare, queued, raw

Outcome = Callable[[int], None]


class Worker:
    """A consumer of git's commands whose handler does what the test says at each delivery."""

    def __init__(self, bus: Bus, outcome: Outcome) -> None:
        self.seen: list[str] = []
        self.deliveries: list[int] = []
        self.settled = asyncio.Event()
        self._outcome = outcome
        bus.consume(Stream.CMD, Durable.GIT, self.handle)

    async def handle(self, envelope: AnyEnvelope, delivery: Delivery) -> None:
        self.seen.append(envelope.id)
        self.deliveries.append(delivery.deliveries)
        self._outcome(len(self.seen))
        self.settled.set()


def well(_attempt: int) -> None:
    """The handler returns."""


async def empty(ops: Bus, stream: Stream) -> None:
    """Wait until a stream holds nothing: what was acked is gone when the mirror has it too."""
    await eventually(lambda: everything(ops, stream), lambda held: not held)


async def dead(ops: Bus) -> list[CommandDeadLettered]:
    """Wait for the first fact about a dead letter, and give all of them."""
    found = await eventually(lambda: ops.read(Stream.EVT, "evt.command.dead_lettered.>", after=0), bool)
    return [catalogue.parse(message.data).data for message in found]


async def test_a_command_is_handled_once_and_gone(connect: Connect, ops: Bus) -> None:
    scheduler, git = await connect("scheduler"), await connect("git")
    worker = Worker(git, well)
    await git.start()
    command = prepare()
    await scheduler.publish(command)
    await scheduler.publish(command)
    await asyncio.wait_for(worker.settled.wait(), 10)
    await empty(ops, Stream.CMD)
    assert worker.seen == [command.id]
    assert not await everything(ops, Stream.DLQ)


async def test_a_failure_is_tried_again_and_forgotten(connect: Connect, ops: Bus) -> None:
    def twice(attempt: int) -> None:
        if attempt < 3:
            raise Transient

    scheduler, git = await connect("scheduler"), await connect("git")
    worker = Worker(git, twice)
    await git.start()
    await scheduler.publish(prepare())
    await empty(ops, Stream.CMD)
    assert len(worker.seen) == 3
    assert not await everything(ops, Stream.DLQ)


@pytest.mark.parametrize("error", [Transient(), RuntimeError("unforeseen")])
async def test_failing_too_often_is_a_dead_letter(connect: Connect, ops: Bus, error: Exception) -> None:
    def always(_attempt: int) -> None:
        raise error

    scheduler, git = await connect("scheduler"), await connect("git")
    worker = Worker(git, always)
    await git.start()
    command = prepare()
    await scheduler.publish(command)
    await empty(ops, Stream.CMD)
    (letter,) = await everything(ops, Stream.DLQ)
    assert len(worker.seen) == 3
    assert letter.data == command.encode()
    assert letter.subject == f"dlq.git.prepare.{command.owner}.{command.task}"
    assert letter.headers[ORIGIN_STREAM] == "CMD"
    assert letter.headers[ORIGIN_SEQUENCE] == "1"
    assert letter.headers[ERROR_CODE] == type(error).__name__
    (told,) = await dead(ops)
    assert (told.service, told.command_type, told.command_id, told.reason) == ("git", command.type, command.id, "exhausted")


async def test_a_refusal_is_a_dead_letter_at_once(connect: Connect, ops: Bus) -> None:
    def refuse(_attempt: int) -> None:
        raise Terminal

    scheduler, git = await connect("scheduler"), await connect("git")
    worker = Worker(git, refuse)
    await git.start()
    await scheduler.publish(prepare())
    await empty(ops, Stream.CMD)
    assert len(worker.seen) == 1
    assert [told.reason for told in await dead(ops)] == ["refused"]


@pytest.mark.parametrize("payload", [b"no json", b"[]", b'{"type": "git.prepare.v1"}', b'{"type": "git.unknown.v1"}', b"x" * 1_048_000])
async def test_bytes_that_are_no_message_are_one_dead_letter(connect: Connect, ops: Bus, payload: bytes) -> None:
    scheduler, git = await connect("scheduler"), await connect("git")
    worker = Worker(git, well)
    await git.start()
    await scheduler.store(Stream.CMD, "cmd.git.prepare.-.-", payload, "an-id")
    await empty(ops, Stream.CMD)
    (letter,) = await everything(ops, Stream.DLQ)
    assert payload.startswith(letter.data)
    (told,) = await dead(ops)
    assert (told.reason, told.command_type, told.command_id) == ("invalid", "git.prepare", None)
    assert worker.seen == []


async def test_a_message_under_another_subject_than_its_own_is_refused(connect: Connect, ops: Bus) -> None:
    scheduler, git = await connect("scheduler"), await connect("git")
    worker = Worker(git, well)
    await git.start()
    await scheduler.store(Stream.CMD, "cmd.git.prepare.-.-", queued().encode(), "an-id")
    await empty(ops, Stream.CMD)
    assert [told.reason for told in await dead(ops)] == ["invalid"]
    assert worker.seen == []


async def test_postponing_is_no_failure(connect: Connect, ops: Bus) -> None:
    def later(attempt: int) -> None:
        if attempt < 20:
            raise Postpone(0.001)

    scheduler, git = await connect("scheduler"), await connect("git")
    worker = Worker(git, later)
    await git.start()
    await scheduler.publish(prepare())
    await empty(ops, Stream.CMD)
    assert len(worker.seen) == 20
    assert not await everything(ops, Stream.DLQ)


async def test_a_handler_longer_than_ack_wait_keeps_its_message(connect: Connect, ops: Bus, reconfigure: Reconfigure) -> None:
    await reconfigure("CMD", "git", ack_wait=1_000_000_000)  # not less: a busy machine must not be too late with the word that holds it
    scheduler, git = await connect("scheduler"), await connect("git")
    seen: list[int] = []

    async def long(_envelope: AnyEnvelope, delivery: Delivery) -> None:
        seen.append(delivery.deliveries)
        await asyncio.sleep(2.5)

    git.consume(Stream.CMD, Durable.GIT, long, slots=2)
    await git.start()
    await scheduler.publish(prepare())
    await empty(ops, Stream.CMD)
    assert seen == [1]


async def test_slots_work_at_the_same_time(connect: Connect) -> None:
    scheduler, git = await connect("scheduler"), await connect("git")
    everyone = asyncio.Barrier(4)

    async def meet(_envelope: AnyEnvelope, _delivery: Delivery) -> None:
        await everyone.wait()

    git.consume(Stream.CMD, Durable.GIT, meet, slots=3)
    await git.start()
    for _ in range(3):
        await scheduler.publish(prepare())
    await asyncio.wait_for(everyone.wait(), 10)


async def test_what_a_stopping_process_was_doing_goes_to_another(connect: Connect, ops: Bus) -> None:
    scheduler, stopping, other = await connect("scheduler"), await connect("git", grace_seconds=0.1), await connect("git")
    begun, taken = asyncio.Event(), Worker(other, well)

    async def endless(_envelope: AnyEnvelope, _delivery: Delivery) -> None:
        begun.set()
        await asyncio.Event().wait()

    stopping.consume(Stream.CMD, Durable.GIT, endless)
    await stopping.start()
    command = prepare()
    await scheduler.publish(command)
    await asyncio.wait_for(begun.wait(), 10)
    await stopping.stop()
    await other.start()
    await asyncio.wait_for(taken.settled.wait(), 10)
    await empty(ops, Stream.CMD)
    assert taken.seen == [command.id]


async def test_stopping_waits_for_handlers(connect: Connect, ops: Bus) -> None:
    scheduler, git = await connect("scheduler"), await connect("git", grace_seconds=10)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_envelope: AnyEnvelope, _delivery: Delivery) -> None:
        begun.set()
        await go_on.wait()

    git.consume(Stream.CMD, Durable.GIT, slow)
    await git.start()
    await scheduler.publish(prepare())
    await asyncio.wait_for(begun.wait(), 10)
    stopping = asyncio.create_task(git.stop())
    go_on.set()
    await stopping
    await empty(ops, Stream.CMD)


async def test_a_fact_nobody_can_handle_is_told_without_a_circle(connect: Connect, ops: Bus) -> None:
    scheduler, gateway = await connect("scheduler"), await connect("gateway")
    told: list[str] = []

    async def refuse(envelope: AnyEnvelope, _delivery: Delivery) -> None:
        told.append(envelope.type)
        raise Terminal

    gateway.consume(Stream.EVT, Durable.GATEWAY, refuse)
    await gateway.start()
    fact = queued()
    await scheduler.publish(fact)
    letters = await eventually(lambda: everything(ops, Stream.DLQ), lambda held: len(held) == 2)
    assert told == ["task.queued.v1", "command.dead_lettered.v1"]
    assert letters[0].subject == f"dlq.gateway.task-queued.{fact.owner}.{fact.task}"
    assert len(await dead(ops)) == 1


async def test_an_advisory_makes_one_dead_letter(connect: Connect, ops: Bus, reconfigure: Reconfigure) -> None:
    await reconfigure("CMD", "git", ack_wait=200_000_000, max_deliver=2)
    scheduler, git = await connect("scheduler"), await connect("git")
    DeadLetterWatch(scheduler).register()
    await scheduler.start()
    crashing: list[int] = []

    async def silent(_envelope: AnyEnvelope, delivery: Delivery) -> None:
        """As a process that dies in its handler: no word to the server."""
        crashing.append(delivery.deliveries)
        raise Postpone(0.001)

    git.consume(Stream.CMD, Durable.GIT, silent)
    await git.start()
    command = prepare()
    await scheduler.publish(command)
    (told,) = await dead(ops)
    assert crashing == [1, 2]
    assert (told.service, told.command_id, told.reason) == ("git", command.id, "max_deliveries")
    (letter,) = await everything(ops, Stream.DLQ)
    assert letter.data == command.encode()


async def test_a_missing_consumer_is_said_at_start_and_by_ready(connect: Connect) -> None:
    git = await connect("git")
    await git.ready()
    git.consume(Stream.CMD, "nobody", lambda _envelope, _delivery: asyncio.sleep(0))
    with pytest.raises(NotReady, match="nobody"):
        await git.start()
    with pytest.raises(NotReady, match="nobody"):
        await git.ready()


STATUSES = ["100", "204", "404", "408", "409", "503", "x"]


@pytest.mark.parametrize("status", STATUSES)
async def test_a_command_that_calls_itself_a_status_is_handled(connect: Connect, ops: Bus, status: str) -> None:
    scheduler, git = await connect("scheduler"), await connect("git")
    worker = Worker(git, well)
    await git.start()
    header = {"Status": status, "Description": "Idle Heartbeat"}
    by_line, by_header = prepare(), prepare()
    await raw(scheduler, by_line.nats_subject, f"NATS/1.0 {status} Idle Heartbeat\r\n\r\n".encode(), by_line.encode())
    await scheduler.publisher.attempt(Stream.CMD, by_header.nats_subject, by_header.encode(), header)
    await eventually(lambda: everything(ops, Stream.CMD), lambda held: not held)
    assert set(worker.seen) == {by_line.id, by_header.id}


@pytest.mark.parametrize("header", MALFORMED)
async def test_a_header_that_is_none_does_not_stop_what_follows(connect: Connect, ops: Bus, header: bytes) -> None:
    scheduler, git = await connect("scheduler"), await connect("git")
    worker = Worker(git, well)
    await git.start()
    odd, plain = prepare(), prepare()
    await raw(scheduler, odd.nats_subject, header, odd.encode())
    await scheduler.publish(plain)
    await eventually(lambda: everything(ops, Stream.CMD), lambda held: not held)
    given_up = await everything(ops, Stream.DLQ)
    assert set(worker.seen) == ({plain.id} if given_up else {odd.id, plain.id})
