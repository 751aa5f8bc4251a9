"""What the trail looks like from outside."""

import json
from datetime import datetime
from typing import Annotated, Any

from pydantic import Base64Bytes, Field

from services.gateway.text import Resource
from shared.events.ids import EventId
from shared.events.questions import TrailEntry


class Entry(Resource):
    """One leaf of the trail. Its hash is over the stream, its number there, the subject, the headers, the time and the data."""

    index: int
    stream: str
    stream_sequence: int
    subject: str
    event_id: EventId | None
    type: str | None
    stored_at: Annotated[datetime, Field(description="By the stream's clock, to the microsecond.")]
    event: Annotated[Any, Field(description="The bytes read as JSON, to look at; null where they are none.")]
    headers: Annotated[Base64Bytes, Field(description="The message's headers, as they are hashed.")]
    data: Annotated[Base64Bytes, Field(description="The message's exact bytes, as they are hashed.")]


class Trail(Resource):
    """A page of the trail, in the order of the log."""

    entries: list[Entry]
    next_cursor: Annotated[str | None, Field(description="Pass as `cursor` for what follows; null at the end.")]


class SignedCheckpoint(Resource):
    """The newest signed checkpoint."""

    note: Annotated[str, Field(description="A C2SP tlog-checkpoint: origin, size, root hash, signature.")]


def shown(entry: TrailEntry) -> Entry:
    """The entry as it is shown."""
    return Entry.model_construct(**dict(entry), event=_json(entry.data))


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
