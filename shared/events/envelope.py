"""The one envelope of every command and fact: CloudEvents 1.0, structured JSON (https://cloudevents.io, §3.2 of its JSON format).

The encoded bytes are what is hashed, stored and forwarded: they are made once, by `Envelope.encode`, and never re-serialised.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, StringConstraints

from shared.events import ids
from shared.events.ids import UUID_PATTERN, EventId, OwnerId, TaskId
from shared.events.payload import Payload

P = TypeVar("P", bound=Payload, covariant=True)

NOBODY = "-"
"""Stands in a subject where there is no owner or no task."""

_UuidOrNobody = Annotated[str, StringConstraints(pattern=f"(?:{UUID_PATTERN})|^-$")]


class Envelope(BaseModel, Generic[P]):
    """CloudEvents attributes around one payload. `id` is also the message's `Nats-Msg-Id`."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    specversion: Literal["1.0"] = "1.0"
    id: EventId
    source: Annotated[str, StringConstraints(pattern=r"^/services/[a-z]+$")]
    type: str
    time: datetime
    datacontenttype: Literal["application/json"] = "application/json"
    owner: _UuidOrNobody
    task: _UuidOrNobody
    causationid: EventId | None = None
    data: P

    @property
    def nats_subject(self) -> str:
        """`<kind>.<type without its version>.<owner>.<task>`."""
        return subject(self.data, self.owner, self.task)

    def encode(self) -> bytes:
        """The exact bytes to publish and to hash."""
        return self.model_dump_json(exclude_none=True).encode()


AnyEnvelope = Envelope[Any]


def subject(payload: Payload | type[Payload], owner: str, task: str) -> str:
    """The NATS subject of a message with this payload."""
    name, _, _version = payload.TYPE.rpartition(".")
    return f"{payload.KIND}.{name}.{owner}.{task}"


def new(
    payload: Payload,
    *,
    source: str,
    owner: OwnerId | str = NOBODY,
    task: TaskId | str = NOBODY,
    cause: EventId | str | None = None,
    discriminator: str = "",
    at: datetime | None = None,
) -> AnyEnvelope:
    """An envelope around `payload`, sent by the service `source` (`"runner"`).

    With a `cause` its id is derived from the cause and the subject, so that doing the work twice says the same thing once;
    `discriminator` tells apart several messages of one type with one cause (a lease's fence, a file's number).
    """
    message_subject = subject(payload, owner, task)
    message_id = (
        ids.fresh() if cause is None else ids.derive(cause, f"{message_subject}#{discriminator}" if discriminator else message_subject)
    )
    return Envelope[Any](
        id=EventId(message_id),
        source=f"/services/{source}",
        type=payload.TYPE,
        time=at or datetime.now(UTC),
        owner=owner,
        task=task,
        causationid=None if cause is None else EventId(cause),
        data=payload,
    )
