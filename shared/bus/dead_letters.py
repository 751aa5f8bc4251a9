"""Giving a message up: its bytes go to the stream DLQ, and the fact `command.dead_lettered` says so. Each once, however often it is tried.

The subject is `dlq.<service>.<verb>.<owner>.<task>` for a command and `dlq.<service>.<entity>-<fact>.<owner>.<task>` for a fact, where
`service` is the one that gave up. Nothing of an error's text is kept: it may carry what a person or a repository wrote.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Literal, cast, get_args

import structlog

from shared.bus.errors import MessageTooLarge
from shared.bus.publishing import Publisher
from shared.bus.streams import Stream
from shared.events import catalogue, envelope, ids
from shared.events.catalogue import InvalidMessage
from shared.events.facts import CommandDeadLettered, ServiceName
from shared.events.ids import EventId
from shared.events.payload import Kind

log = structlog.get_logger(__name__)

Reason = Literal["invalid", "refused", "exhausted", "max_deliveries"]

ORIGIN_STREAM = "Origin-Stream"
ORIGIN_SEQUENCE = "Origin-Sequence"
ORIGIN_SUBJECT = "Origin-Subject"
ERROR_CODE = "Error-Code"
TRUNCATED = "Truncated-To"

_SPACE = "6f2d1c1e-5f0b-5d0c-9f3e-0d8f6a1b7c55"
"""The uuid5 name space of facts about messages whose own id is unknown or not to be trusted."""
_NAME = re.compile(r"[a-z][a-z_]{0,63}")
_TOO_LARGE_KEEPS = 64 * 1024
_SUBJECT_TOKENS = 5


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """A message that `service` gave up, and why. `error_code` is the name of an error's class."""

    service: str
    stream: str
    sequence: int
    subject: str
    data: bytes
    reason: Reason
    error_code: str

    @property
    def key(self) -> str:
        """The same for every attempt to give this message up."""
        return f"{self.service}:{self.stream}:{self.sequence}:{hashlib.sha256(self.data).hexdigest()}"


@dataclass(frozen=True)
class _Named:
    """What a subject says, as far as it can be believed."""

    kind: str
    first: str
    second: str
    owner: str
    task: str


def _named(subject: str) -> _Named:
    tokens = (subject.split(".") + [""] * _SUBJECT_TOKENS)[:_SUBJECT_TOKENS]
    kind, first, second, owner, task = tokens
    return _Named(
        kind=kind,
        first=first if _NAME.fullmatch(first) else "unknown",
        second=second if _NAME.fullmatch(second) else "unknown",
        owner=owner if ids.is_uuid(owner) else envelope.NOBODY,
        task=task if ids.is_uuid(task) else envelope.NOBODY,
    )


def dlq_subject(service: str, subject: str) -> str:
    """Where in DLQ a message that `service` gave up is stored."""
    named = _named(subject)
    what = named.second if named.kind == Kind.COMMAND else f"{named.first}-{named.second}"
    return f"dlq.{service}.{what}.{named.owner}.{named.task}"


def fact(letter: DeadLetter) -> envelope.AnyEnvelope | None:
    """What to tell of it. None where telling would be the start of a circle: the message is such a fact itself."""
    named = _named(letter.subject)
    if (named.kind, named.first, named.second) == (Kind.FACT, "command", "dead_lettered"):
        return None
    command_id, command_type = _identity(letter)
    told = CommandDeadLettered(
        service=cast("ServiceName", letter.service),
        command_type=command_type or f"{named.first}.{named.second}",
        command_id=command_id,
        stream=letter.stream,
        stream_sequence=letter.sequence,
        reason=letter.reason,
    )
    made = envelope.new(told, source=letter.service, owner=named.owner, task=named.task, cause=command_id)
    return made.model_copy(update={"id": EventId(ids.derive(_SPACE, letter.key))})


def _identity(letter: DeadLetter) -> tuple[EventId | None, str | None]:
    try:
        known = catalogue.parse(letter.data, letter.subject)
    except InvalidMessage:
        return None, None
    return known.id, known.type


async def bury(publisher: Publisher, letter: DeadLetter) -> None:
    """Store the dead letter, then the fact. Returns when both are stored; may be repeated."""
    headers = {
        "Nats-Msg-Id": f"dlq:{letter.key}",
        ORIGIN_STREAM: letter.stream,
        ORIGIN_SEQUENCE: str(letter.sequence),
        ORIGIN_SUBJECT: letter.subject,
        ERROR_CODE: letter.error_code,
        "Reason": letter.reason,
    }
    subject = dlq_subject(letter.service, letter.subject)
    log.error("dead_lettered", stream=letter.stream, sequence=letter.sequence, reason=letter.reason, error_code=letter.error_code)
    try:
        await publisher.until_stored(Stream.DLQ, subject, letter.data, headers)
    except MessageTooLarge:  # with our headers it is over the limit; its stream and the trail have all of it
        headers[TRUNCATED] = str(_TOO_LARGE_KEEPS)
        await publisher.until_stored(Stream.DLQ, subject, letter.data[:_TOO_LARGE_KEEPS], headers)
    told = fact(letter) if letter.service in get_args(ServiceName) else None
    if told is not None:
        await publisher.until_stored(Stream.EVT, told.nats_subject, told.encode(), {"Nats-Msg-Id": told.id})
