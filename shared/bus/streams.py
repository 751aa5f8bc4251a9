"""The names of everything that is stored on the bus: what services and the provisioner must spell alike.

Names only. How large, how old and who may: `deploy/nats/topology.py`.
"""

from enum import StrEnum

from shared.events.payload import Kind
from shared.events.values import BlobClass


class Stream(StrEnum):
    """The streams of the application's account."""

    CMD = "CMD"
    EVT = "EVT"
    OUT = "OUT"
    SCHED = "SCHED"
    DLQ = "DLQ"
    ADV = "ADV"
    BLOB_WORKSPACE = "BLOB_WORKSPACE"
    BLOB_RESULT = "BLOB_RESULT"
    BLOB_CHECKPOINT = "BLOB_CHECKPOINT"
    BLOB_TRANSCRIPT = "BLOB_TRANSCRIPT"
    BLOB_CHANGES = "BLOB_CHANGES"
    KV_LEASE = "KV_lease"
    KV_FATE = "KV_fate"


class Mirror(StrEnum):
    """The streams of the audit account, one per origin: a gap in an origin's sequence numbers is provable."""

    CMD = "AUDIT_CMD"
    EVT = "AUDIT_EVT"
    DLQ = "AUDIT_DLQ"
    ADV = "AUDIT_ADV"


class Durable(StrEnum):
    """The consumers. A durable named like a service is that service's."""

    SCHEDULER = "scheduler"
    GIT = "git"
    RUNNER = "runner"
    GATEWAY = "gateway"
    DEAD_LETTERS = "dead-letters"


API = "BUS.API"
"""Under what name a service's account sees the few calls of the streams' API (`$JS.API`) that it may make."""

STREAM_OF_KIND = {Kind.COMMAND: Stream.CMD, Kind.FACT: Stream.EVT}
"""Where a message is stored."""


def blob_stream(blob_class: BlobClass) -> Stream:
    """The stream of a class of blobs."""
    return Stream(f"BLOB_{blob_class.upper()}")


def inbox_prefix(user: str) -> str:
    """Where replies to `user` arrive: nobody else may listen there."""
    return f"_INBOX_{user}"
