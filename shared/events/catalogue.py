"""Every message type there is, by name, and the one way to read a message from bytes."""

import json
from types import ModuleType
from typing import Any, cast

from pydantic import ValidationError

from shared.events import commands, facts
from shared.events.envelope import AnyEnvelope, Envelope
from shared.events.payload import Command, Fact, Payload


class InvalidMessage(ValueError):
    """The bytes are not a message of this catalogue: no retry can make them one."""


def _payloads(module: ModuleType) -> dict[str, type[Payload]]:
    members = cast("dict[str, object]", vars(module)).values()
    return {
        member.TYPE: member for member in members if isinstance(member, type) and issubclass(member, Payload) and hasattr(member, "TYPE")
    }


TYPES: dict[str, type[Payload]] = _payloads(commands) | _payloads(facts)

ENDINGS: dict[type[Command], tuple[type[Fact], ...]] = {
    commands.GitPrepare: (facts.WorkspacePrepared, facts.WorkspaceFailed),
    commands.RunnerStart: (facts.RunFinished, facts.RunFailed),
    commands.GitPublish: (facts.ChangePublished, facts.ChangeHeld, facts.ChangeFailed),
}
"""The facts that end a command: exactly one of them follows it."""


def parse(data: bytes, subject: str | None = None) -> AnyEnvelope:
    """Read a message. Unknown fields are ignored, so that an older consumer understands a newer producer.

    `subject` is where it was found: it must say that one itself, so that the right to publish one fact is no right to say another.
    Raises InvalidMessage when it does not, the bytes are no JSON object, the type is unknown or the content breaks its schema.
    """
    try:
        document: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidMessage("the message is not JSON") from error
    named = cast("dict[str, object]", document).get("type") if isinstance(document, dict) else None
    payload_type = TYPES.get(named) if isinstance(named, str) else None
    if payload_type is None:
        raise InvalidMessage("the message has no type this catalogue knows")
    try:
        envelope: AnyEnvelope = Envelope[payload_type].model_validate(document, extra="ignore")
    except ValidationError as error:
        where = "; ".join(".".join(map(str, fault["loc"])) + ": " + fault["type"] for fault in error.errors(include_input=False))
        raise InvalidMessage(f"{payload_type.TYPE} breaks its schema at {where}") from error
    if subject is not None and envelope.nats_subject != subject:
        raise InvalidMessage("the message says another subject than it was sent to")
    return envelope
