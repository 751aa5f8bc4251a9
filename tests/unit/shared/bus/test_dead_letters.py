"""What is said of a message that was given up: the same every time, and nothing of what its sender could write."""

import pytest

from shared.bus.dead_letters import DeadLetter, Reason, dlq_subject, fact
from shared.events import commands, envelope, ids
from shared.events.facts import CommandDeadLettered
from shared.events.ids import RepositoryId

OWNER, TASK = "1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b", "6ec0bd7f-11c0-43da-975e-2a8ad9ebae0b"


def letter(subject: str, data: bytes = b"", service: str = "git", reason: Reason = "invalid") -> DeadLetter:
    return DeadLetter(service=service, stream="CMD", sequence=7, subject=subject, data=data, reason=reason, error_code="Any")


@pytest.mark.parametrize(
    ("service", "subject", "expected"),
    [
        ("git", f"cmd.git.prepare.{OWNER}.{TASK}", f"dlq.git.prepare.{OWNER}.{TASK}"),
        ("gateway", f"evt.task.queued.{OWNER}.{TASK}", f"dlq.gateway.task-queued.{OWNER}.{TASK}"),
        ("git", "cmd.git.prepare.-.-", "dlq.git.prepare.-.-"),
        ("git", "cmd.git.>.*.evil", "dlq.git.unknown.-.-"),
        ("git", "cmd", "dlq.git.unknown.-.-"),
        ("git", "", "dlq.git.unknown-unknown.-.-"),
    ],
)
def test_subjects(service: str, subject: str, expected: str) -> None:
    assert dlq_subject(service, subject) == expected


def test_a_known_command_is_named_with_its_id() -> None:
    command = envelope.new(commands.GitPrepare(repository_id=RepositoryId(ids.fresh())), source="scheduler", owner=OWNER, task=TASK)
    told = fact(letter(command.nats_subject, command.encode(), reason="refused"))
    assert told is not None
    assert (told.owner, told.task, told.causationid) == (OWNER, TASK, command.id)
    assert isinstance(told.data, CommandDeadLettered)
    assert (told.data.command_id, told.data.command_type, told.data.stream_sequence) == (command.id, "git.prepare.v1", 7)


def test_the_same_letter_is_the_same_fact_and_another_is_another() -> None:
    subject = f"cmd.git.prepare.{OWNER}.{TASK}"
    one, again, other, other_reason = (
        fact(made) for made in (letter(subject), letter(subject), letter(subject, b"else"), letter(subject, reason="exhausted"))
    )
    assert one is not None
    assert again is not None
    assert other is not None
    assert other_reason is not None
    assert one.id == again.id == other_reason.id != other.id


def test_a_fact_about_a_dead_letter_is_told_no_further() -> None:
    assert fact(letter(f"evt.command.dead_lettered.{OWNER}.{TASK}", service="scheduler")) is None


def test_what_a_sender_wrote_does_not_enter_the_fact() -> None:
    told = fact(letter("cmd.git.SECRET-title.owner@example.org.x", b'{"type": "a secret"}'))
    assert told is not None
    assert b"SECRET" not in told.encode()
    assert b"secret" not in told.encode()
    assert b"example" not in told.encode()
