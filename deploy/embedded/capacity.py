"""How much of the disk each part of this deployment may take: the operator's figures, or ours where none were given. Pure."""

from collections.abc import Mapping
from typing import Final

from deploy.embedded import logs
from deploy.nats import rooms, topology
from deploy.nats.render import DEFAULT_STORE_BYTES
from deploy.nats.rooms import MIB, Rooms
from deploy.nats.topology import DAY
from shared.bus.streams import blob_stream
from shared.events.values import BlobClass

DEFAULT_CACHE_MIB: Final = 20 * 1024
"""As GIT_MAX_CACHE_BYTES without a setting."""
DEFAULT_MIN_FREE_MIB: Final = 1024
_INBOX_DAYS: Final = 60
_TASKS_DAYS: Final = 90
_SPARE_DAYS: Final = 2

Settings = Mapping[str, str]


def store_bytes(settings: Settings) -> int:
    """What the streams share."""
    return int(settings["STORE_MIB"]) * MIB if "STORE_MIB" in settings else DEFAULT_STORE_BYTES


def streams(settings: Settings) -> Rooms:
    """What single streams were given."""
    return rooms.parse(settings["STREAMS"]) if "STREAMS" in settings else {}


def nats_bytes(settings: Settings) -> int:
    """What the server's store must hold: every stream full."""
    return rooms.total_bytes(store_bytes(settings), streams(settings))


def cache_bytes(settings: Settings) -> int:
    """All mirrors of repositories."""
    return int(settings.get("GIT_CACHE_MIB", DEFAULT_CACHE_MIB)) * MIB


def log_bytes(settings: Settings) -> int:
    """One log, before it is set aside."""
    return int(settings["LOG_MIB"]) * MIB if "LOG_MIB" in settings else logs.MAX_BYTES


def min_free_bytes(settings: Settings) -> int:
    """Below it nothing is started."""
    return int(settings.get("MIN_FREE_MIB", DEFAULT_MIN_FREE_MIB)) * MIB


def inbox_days(settings: Settings) -> int:
    """How long acted-on messages are remembered: longer than any can come again."""
    return max(_INBOX_DAYS, rooms.replay_days(streams(settings)) + _SPARE_DAYS)


def ended_tasks_days(settings: Settings) -> int:
    """How long the scheduler knows a task that ended: as the inbox, and while its work is kept and can be published by hand."""
    given = streams(settings)
    kept = {blob_stream(blob): 0 for blob in BlobClass}
    work = max(rooms.max_age_seconds(spec, given) // DAY for spec in topology.STREAMS if spec.name in kept)
    return max(_TASKS_DAYS, inbox_days(settings), work + _SPARE_DAYS)
