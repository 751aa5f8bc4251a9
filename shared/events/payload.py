"""The root of every message's content: what a command or a fact says, without its envelope."""

from enum import StrEnum
from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Kind(StrEnum):
    """What a message is: work to do, or something that happened. The value is the first token of its NATS subject."""

    COMMAND = "cmd"
    FACT = "evt"


class Value(BaseModel):
    """A frozen value inside a payload. Producers may not add fields; consumers are told to ignore unknown ones when they parse."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Payload(Value):
    """What one message says.

    `TYPE` is `<entity>.<fact>.v<N>` for facts and `<service>.<verb>.v<N>` for commands; the subject follows from it. Within a version
    only fields with defaults are added. Nothing secret, personal or user-written may be a field: the trail keeps the bytes for ever.
    """

    TYPE: ClassVar[str]
    KIND: ClassVar[Kind]


class Command(Payload):
    """Work for one service. Every command ends in exactly one fact, whose `causationid` is the command's id."""

    KIND: ClassVar[Kind] = Kind.COMMAND


class Fact(Payload):
    """Something that happened, in the past tense."""

    KIND: ClassVar[Kind] = Kind.FACT
