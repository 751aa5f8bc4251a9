"""What a process remembers of messages."""

from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.bus.delivery import Delivery, Memory
from shared.bus.provenance import forged, stored_forged
from shared.events import questions
from shared.events.questions import RunInput


def delivery(sequence: int = 1, data: bytes = b"work", deliveries: int = 1) -> Delivery:
    reply = f"$JS.ACK.CMD.git.{deliveries}.{sequence}.1.1795357121087024132.0"
    return Delivery(Msg(_client=Client(), subject="cmd.git.prepare.-.-", reply=reply, data=data))


def test_a_delivery_says_where_it_comes_from() -> None:
    made = delivery(sequence=9, deliveries=3)
    assert (made.stream, made.sequence, made.deliveries, made.subject) == ("CMD", 9, 3, "cmd.git.prepare.-.-")


def test_failures_are_counted_per_message() -> None:
    memory = Memory()
    assert [memory.failed(delivery(1)), memory.failed(delivery(2)), memory.failed(delivery(1, deliveries=2))] == [1, 1, 2]


def test_what_is_finished_is_known_again() -> None:
    memory = Memory()
    assert not memory.is_finished(delivery())
    memory.failed(delivery())
    assert not memory.is_finished(delivery())
    memory.finished(delivery())
    assert memory.is_finished(delivery(deliveries=2))


def test_another_message_under_the_same_number_is_not_finished() -> None:
    memory = Memory()
    memory.finished(delivery(data=b"lost with the power"))
    assert not memory.is_finished(delivery(data=b"stored afterwards"))


def test_the_oldest_are_forgotten() -> None:
    memory = Memory()
    for sequence in range(10_001):
        memory.finished(delivery(sequence))
    assert not memory.is_finished(delivery(0))
    assert memory.is_finished(delivery(10_000))


def test_the_marks_of_a_direct_get() -> None:
    assert forged({"Nats-Stream": "EVT"})
    assert forged({"nats-stream": "EVT"})
    assert not forged({"Nats-Msg-Id": "x", "Nats-Expected-Stream": "EVT"})
    assert not forged(None)
    assert not stored_forged({"Nats-Stream": "EVT"})


def test_no_answer_can_be_taken_for_a_refusal() -> None:
    answers = [member.ANSWER for member in vars(questions).values() if hasattr(member, "ANSWER") and hasattr(member, "METHOD")]
    assert RunInput in answers
    assert not [answer for answer in answers if "refused" in answer.model_fields]
