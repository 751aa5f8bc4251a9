"""How much each stream may hold, and for how long: the topology's figures, and what an operator gave for single streams. Pure.

An operator's figures are JSON with the streams that differ: `{"EVT": {"mib": 4096, "days": 60}, "BLOB_CHANGES": {"days": 90}}`. What other
parts of the system rely on cannot be given: `_DAYS` says what can, and why not less.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from deploy.nats import topology
from deploy.nats.topology import DAY, StreamSpec
from shared.blobs.chunks import AGE_SECONDS, LONGEST
from shared.bus.streams import Mirror, Stream, blob_stream
from shared.events.values import BlobClass

MIB: Final = 1024 * 1024
_MAX_MIB: Final = 64 * 1024 * 1024


class BadRoom(ValueError):
    """A stream cannot be given this room; the text says which and why."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """What an operator gave for one stream."""

    mib: int | None = None
    days: int | None = None


Rooms = Mapping[str, Room]


def _least(blob_class: BlobClass) -> int:
    """Nothing waits for what is only shown, so a generation and a day is enough; the work of a task waits for it as long as it may."""
    days = AGE_SECONDS[blob_class] // DAY
    return days // 4 + 1 if blob_class in {BlobClass.TRANSCRIPT, BlobClass.CHANGES} else days


_DAYS: Final[Mapping[str, tuple[int, int]]] = {
    Stream.EVT: (7, 365),
    Stream.OUT: (1, 365),
    Stream.DLQ: (1, 90),
    **dict.fromkeys(Mirror, (7, 365)),
    **{blob_stream(blob): (_least(blob), LONGEST * AGE_SECONDS[blob] // DAY) for blob in BlobClass},
}
"""The least and the most. Commands, leases and fates have none: how long they live is what the services' own waits are made for."""


def parse(text: str) -> Rooms:
    """The operator's figures. Raises BadRoom."""
    try:
        given: Any = json.loads(text)
    except ValueError as error:
        raise BadRoom("this is no JSON") from error
    if not isinstance(given, dict):
        raise BadRoom('an object is expected, such as {"EVT": {"mib": 4096}}')
    return {name: _room(name, value) for name, value in cast("dict[str, Any]", given).items()}


def _room(name: str, given: Any) -> Room:
    known = [str(spec.name) for spec in topology.STREAMS]
    if name not in known:
        raise BadRoom(f"{name} is no stream; there are {', '.join(known)}")
    if not isinstance(given, dict) or not given or not given.keys() <= {"mib", "days"}:  # pyright: ignore[reportUnknownMemberType]
        raise BadRoom(f'{name} takes "mib", "days" or both')
    figures = cast("dict[str, Any]", given)
    if "days" in figures and name not in _DAYS:
        raise BadRoom(f"how long {name} keeps a message cannot be set: the services' waits are made for it")
    least, most = _DAYS.get(name, (0, 0))
    return Room(mib=_figure(name, figures, "mib", 1, _MAX_MIB), days=_figure(name, figures, "days", least, most))


def _figure(name: str, figures: Mapping[str, Any], field: str, least: int, most: int) -> int | None:
    value = figures.get(field)
    if field not in figures:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise BadRoom(f"{field} of {name} must be a whole number from {least} to {most}")
    return value


def max_bytes(spec: StreamSpec, store_bytes: int, rooms: Rooms) -> int:
    """How much the stream may hold: what was given for it, else its part of the store."""
    given = rooms.get(spec.name, Room()).mib
    return spec.max_bytes(store_bytes) if given is None else given * MIB


def max_age_seconds(spec: StreamSpec, rooms: Rooms) -> int:
    """How long the stream keeps a message."""
    given = rooms.get(spec.name, Room()).days
    return spec.max_age_seconds if given is None else given * DAY


def total_bytes(store_bytes: int, rooms: Rooms) -> int:
    """What the server's store must be able to hold: every stream full. Not less than `store_bytes`, which leaves room for itself."""
    return max(store_bytes, sum(max_bytes(spec, store_bytes, rooms) for spec in topology.STREAMS))


def replay_days(rooms: Rooms) -> int:
    """After how many days no message can come to a service again: it was the oldest of its stream, then of the dead letters."""
    ages = {spec.name: max_age_seconds(spec, rooms) // DAY for spec in topology.STREAMS}
    return max(ages[Stream.CMD], ages[Stream.EVT]) + ages[Stream.DLQ]
