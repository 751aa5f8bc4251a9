r"""One entry of the trail and its canonical bytes, which are the leaf of the Merkle log.

The leaf commits to everything that was received, byte for byte:

    0x01                                             version of this encoding
    u32 length, stream                               UTF-8: the origin stream (`CMD`), not its mirror
    u64 stream sequence                              the origin's number
    u32 length, subject                              UTF-8, `\` and NUL escaped by `printable`
    u32 length, headers                              see `encode_headers`
    i64 stored time                                  microseconds since 1970 in UTC, as the origin stored it
    u64 length, data                                 the exact received bytes

Integers are big-endian. Every variable part is preceded by its length, so that no two entries share their bytes. The place in the log is
not in the leaf: the tree proves it. The columns a search needs (`Description`) are derived from the leaf and never trusted.
"""

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from services.audit import merkle
from shared.events import ids

VERSION = b"\x01"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TYPE = re.compile(r"[a-z0-9_.]{1,128}")
_OWNED = frozenset({"cmd", "evt", "dlq"})
_OWNED_TOKENS = 5


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored message as it was received: what the leaf commits to."""

    stream: str
    """The origin stream."""
    stream_sequence: int
    subject: str
    """As `printable` gives it."""
    headers: bytes
    """As `encode_headers` gives them."""
    stored_at: datetime
    data: bytes

    def leaf(self) -> bytes:
        """The canonical bytes."""
        stream, subject = self.stream.encode(), self.subject.encode()
        return b"".join(
            (
                VERSION,
                struct.pack(">I", len(stream)),
                stream,
                struct.pack(">QI", self.stream_sequence, len(subject)),
                subject,
                struct.pack(">I", len(self.headers)),
                self.headers,
                struct.pack(">qQ", (self.stored_at - _EPOCH) // timedelta(microseconds=1), len(self.data)),
                self.data,
            )
        )

    def leaf_hash(self) -> bytes:
        """The hash that stands in the log."""
        return merkle.leaf_hash(self.leaf())


@dataclass(frozen=True, slots=True)
class Description:
    """What an entry says about itself, for searching; None where it does not say it in our one spelling."""

    owner: str | None = None
    task: str | None = None
    event_id: str | None = None
    type: str | None = None


def describe(subject: str, data: bytes) -> Description:
    """The owner and task of the subject's tokens, the id and type of the envelope. What is no envelope is entered all the same."""
    tokens = subject.split(".")
    owned = len(tokens) == _OWNED_TOKENS and tokens[0] in _OWNED
    event_id, type_ = _identity(data)
    return Description(
        owner=tokens[3] if owned and ids.is_uuid(tokens[3]) else None,
        task=tokens[4] if owned and ids.is_uuid(tokens[4]) else None,
        event_id=event_id,
        type=type_,
    )


def _identity(data: bytes) -> tuple[str | None, str | None]:
    try:
        document: Any = json.loads(data)
    except (ValueError, RecursionError):
        return None, None
    if not isinstance(document, dict):
        return None, None
    fields = cast("dict[str, object]", document)
    event_id, type_ = fields.get("id"), fields.get("type")
    return (
        event_id if isinstance(event_id, str) and ids.is_uuid(event_id) else None,
        type_ if isinstance(type_, str) and _TYPE.fullmatch(type_) else None,
    )


def printable(subject: str) -> str:
    r"""A subject that a Postgres `text` holds: `\` becomes `\\` and NUL `\0`. Nothing else is changed, and no two subjects become one."""
    return subject.replace("\\", "\\\\").replace("\0", "\\0")


def encode_headers(headers: Mapping[str, str]) -> bytes:
    """Headers sorted by name, each name and value as UTF-8 after its u32 length; nothing for no headers.

    They are the headers as the client library reads them: values without the space around them, the last of several under one name.
    """
    parts: list[bytes] = []
    for name in sorted(headers):
        for text in (name.encode(), headers[name].encode()):
            parts += (struct.pack(">I", len(text)), text)
    return b"".join(parts)
