"""Everything that exists on the bus: accounts, streams, consumers, users and what each user may do.

Pure data, and the one place where it stands: `render` turns users into the server's configuration, `apply` creates the streams and
consumers, the table in README.md is checked against it. It must never grow logic that depends on a running server.

Least privilege, and why (verified): whoever may create a consumer can have the server deliver a forged question, whoever may roll
up or purge can empty a stream, whoever may ack for a durable can ack for any holder. So only the provisioners create, nobody
deletes or purges, and each service may publish its own subjects, pull its own durables and read the streams it needs.

Permissions alone do not hold that: the server sends its answers wherever the asker says, past the asker's permissions. So each service
has an account of its own, whose borders (`borders`) let through what is listed here and nothing else. See decision 0006.
"""

from dataclasses import dataclass
from enum import StrEnum

from shared.blobs.chunks import AGE_SECONDS
from shared.bus.streams import API, Durable, Mirror, Stream, blob_stream, inbox_prefix
from shared.events.values import BlobClass

HOUR = 3_600
DAY = 24 * HOUR


class Account(StrEnum):
    """The accounts that hold streams, and the server's own. AUDIT is apart, so that no administrator of APP can touch the mirrors."""

    APP = "APP"
    AUDIT = "AUDIT"
    SYS = "SYS"


class Discard(StrEnum):
    """What a full stream does: drop its oldest message, or refuse the new one."""

    OLD = "old"
    NEW = "new"


@dataclass(frozen=True, kw_only=True)
class StreamSpec:
    """One stream. `per_mille` is its reserved part of the store, so that no stream can take another's room."""

    name: Stream | Mirror
    subjects: tuple[str, ...] = ()
    per_mille: int
    max_age_seconds: int
    discard: Discard = Discard.OLD
    work_queue: bool = False
    duplicate_window_seconds: int = 120
    one_per_subject: bool = False
    never_overwrite: bool = False
    """A second message on a subject is refused, instead of replacing the first."""
    message_ttl: bool = False
    schedules: bool = False
    mirror_of: Stream | None = None

    @property
    def account(self) -> Account:
        """Mirrors live in AUDIT, everything else in APP."""
        return Account.AUDIT if self.mirror_of else Account.APP

    def max_bytes(self, store_bytes: int) -> int:
        """Its room in a store of this size."""
        return store_bytes * self.per_mille // 1000


@dataclass(frozen=True, kw_only=True)
class ConsumerSpec:
    """One durable pull consumer with explicit acks."""

    stream: Stream
    durable: Durable
    filters: tuple[str, ...] = ()
    ack_wait_seconds: int = 30
    max_deliver: int = 5_000
    """High on purpose: a postponed command is delivered again each time (a run of a day behind a lease of 30 s is 2,880 deliveries).
    Failures are counted by the bus, in the process; this bound ends commands that kill their process. See decision 0006."""
    max_ack_pending: int = 1_000


@dataclass(frozen=True, kw_only=True)
class UserSpec:
    """One user, known by its nkey. What is not listed is denied."""

    name: str
    account: Account = Account.APP
    """Where the streams are that it deals with."""
    provisions: bool = False
    """Lives in that account, and creates what is in it. Everybody else lives apart."""
    publish: tuple[str, ...]
    subscribe: tuple[str, ...] = ()
    answers: bool = False
    """May reply once to each question it receives, and so needs no right on anyone's inbox."""

    @property
    def home(self) -> str:
        """The account it lives in."""
        return self.account if self.provisions else f"USER_{self.name.upper()}"

    @property
    def subscribes(self) -> tuple[str, ...]:
        """What it may listen to: its own inbox and what is listed."""
        return (f"{inbox_prefix(self.name)}.>", *self.subscribe)


_TEN_MINUTES = 600
"""How long a message id is remembered where services publish: a retry after an outage of that length is still stored once."""


def _advisories(stream: Stream) -> tuple[str, ...]:
    return (f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{stream}.*", f"$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.{stream}.*")


def _blobs(blob_class: BlobClass, *, per_mille: int) -> StreamSpec:
    return StreamSpec(
        name=blob_stream(blob_class),
        subjects=(f"blob.{blob_class}.>",),
        per_mille=per_mille,
        max_age_seconds=AGE_SECONDS[blob_class],
        discard=Discard.NEW,
        one_per_subject=True,
        never_overwrite=True,
    )


def _mirror(origin: Stream, *, per_mille: int) -> StreamSpec:
    return StreamSpec(
        name=Mirror[origin.name],
        per_mille=per_mille,
        max_age_seconds=90 * DAY,
        discard=Discard.NEW,
        duplicate_window_seconds=0,
        mirror_of=origin,
    )


STREAMS: tuple[StreamSpec, ...] = (
    StreamSpec(
        name=Stream.CMD,
        subjects=("cmd.>",),
        per_mille=60,
        max_age_seconds=30 * DAY,
        discard=Discard.NEW,
        work_queue=True,
        duplicate_window_seconds=_TEN_MINUTES,
    ),
    StreamSpec(name=Stream.EVT, subjects=("evt.>",), per_mille=120, max_age_seconds=30 * DAY, duplicate_window_seconds=_TEN_MINUTES),
    StreamSpec(name=Stream.OUT, subjects=("out.>",), per_mille=120, max_age_seconds=7 * DAY, duplicate_window_seconds=_TEN_MINUTES),
    StreamSpec(
        name=Stream.SCHED,
        subjects=("sched.>",),
        per_mille=5,
        max_age_seconds=400 * DAY,
        message_ttl=True,
        schedules=True,
    ),
    StreamSpec(name=Stream.DLQ, subjects=("dlq.>",), per_mille=20, max_age_seconds=14 * DAY, duplicate_window_seconds=_TEN_MINUTES),
    StreamSpec(name=Stream.ADV, subjects=(*_advisories(Stream.CMD), *_advisories(Stream.EVT)), per_mille=5, max_age_seconds=30 * DAY),
    _blobs(BlobClass.WORKSPACE, per_mille=170),
    _blobs(BlobClass.RESULT, per_mille=80),
    _blobs(BlobClass.CHECKPOINT, per_mille=120),
    _blobs(BlobClass.TRANSCRIPT, per_mille=40),
    _blobs(BlobClass.CHANGES, per_mille=40),
    StreamSpec(
        name=Stream.KV_LEASE,
        subjects=("$KV.lease.>",),
        per_mille=5,
        max_age_seconds=2 * DAY,
        discard=Discard.NEW,
        one_per_subject=True,
        message_ttl=True,
    ),
    StreamSpec(
        name=Stream.KV_FATE,
        subjects=("$KV.fate.>",),
        per_mille=5,
        max_age_seconds=7 * DAY,
        discard=Discard.NEW,
        one_per_subject=True,
        duplicate_window_seconds=_TEN_MINUTES,
    ),
    _mirror(Stream.CMD, per_mille=60),
    _mirror(Stream.EVT, per_mille=120),
    _mirror(Stream.DLQ, per_mille=20),
    _mirror(Stream.ADV, per_mille=5),
)

CONSUMERS: tuple[ConsumerSpec, ...] = (
    ConsumerSpec(stream=Stream.CMD, durable=Durable.SCHEDULER, filters=("cmd.scheduler.>",)),
    ConsumerSpec(stream=Stream.CMD, durable=Durable.GIT, filters=("cmd.git.>",)),
    ConsumerSpec(stream=Stream.CMD, durable=Durable.RUNNER, filters=("cmd.runner.>",)),
    ConsumerSpec(
        stream=Stream.EVT,
        durable=Durable.SCHEDULER,
        filters=("evt.workspace.>", "evt.run.>", "evt.change.>", "evt.command.dead_lettered.>"),
    ),
    ConsumerSpec(stream=Stream.EVT, durable=Durable.GATEWAY, filters=("evt.>",)),
    ConsumerSpec(stream=Stream.ADV, durable=Durable.DEAD_LETTERS),
)


def _consumes(stream: Stream, durable: Durable) -> tuple[str, ...]:
    return (f"{API}.CONSUMER.INFO.{stream}.{durable}", f"{API}.CONSUMER.MSG.NEXT.{stream}.{durable}", f"$JS.ACK.{stream}.{durable}.>")


def _reads(*streams: Stream | Mirror) -> tuple[str, ...]:
    return tuple(f"{API}.DIRECT.GET.{stream}" for stream in streams)


_DEAD_LETTERED = "evt.command.dead_lettered.>"
_PROVISIONS = (
    "$JS.API.INFO",
    "$JS.API.STREAM.CREATE.*",
    "$JS.API.STREAM.UPDATE.*",
    "$JS.API.STREAM.INFO.*",
    "$JS.API.CONSUMER.CREATE.>",
    "$JS.API.CONSUMER.INFO.*.*",
)

USERS: tuple[UserSpec, ...] = (
    UserSpec(
        name="gateway",
        publish=(
            "cmd.scheduler.>",
            "evt.project.>",
            "evt.repository.>",
            "evt.credential.>",
            "evt.token.>",
            "dlq.gateway.>",
            _DEAD_LETTERED,
            "rpc.audit.entries",
            "rpc.audit.checkpoint",
            *_consumes(Stream.EVT, Durable.GATEWAY),
            *_reads(Stream.EVT, Stream.OUT, Stream.BLOB_TRANSCRIPT, Stream.BLOB_CHANGES),
        ),
        subscribe=("rpc.gateway.>", "evt.>", "out.>"),
        answers=True,
    ),
    UserSpec(
        name="scheduler",
        publish=(
            "cmd.git.>",
            "cmd.runner.>",
            "evt.task.>",
            "evt.work.>",
            "$KV.fate.>",
            "dlq.>",
            _DEAD_LETTERED,
            *_consumes(Stream.CMD, Durable.SCHEDULER),
            *_consumes(Stream.EVT, Durable.SCHEDULER),
            *_consumes(Stream.ADV, Durable.DEAD_LETTERS),
            *_reads(Stream.CMD, Stream.EVT),
        ),
    ),
    UserSpec(
        name="git",
        publish=(
            "evt.workspace.>",
            "evt.change.>",
            "evt.pull_request.>",
            "blob.workspace.>",
            "blob.changes.>",
            "dlq.git.>",
            _DEAD_LETTERED,
            "rpc.gateway.workspace_source",
            "rpc.gateway.publication",
            "rpc.gateway.sealed_credential",
            *_consumes(Stream.CMD, Durable.GIT),
            *_reads(Stream.EVT, Stream.BLOB_WORKSPACE, Stream.BLOB_RESULT, Stream.BLOB_CHECKPOINT),
        ),
    ),
    UserSpec(
        name="runner",
        publish=(
            "evt.run.>",
            "evt.egress.>",
            "evt.engine.>",
            "evt.environment.>",
            "out.>",
            "$KV.lease.>",
            "blob.result.>",
            "blob.checkpoint.>",
            "blob.transcript.>",
            "dlq.runner.>",
            _DEAD_LETTERED,
            "rpc.gateway.run_input",
            "rpc.gateway.sealed_credential",
            *_consumes(Stream.CMD, Durable.RUNNER),
            *_reads(Stream.EVT, Stream.KV_LEASE, Stream.KV_FATE, Stream.BLOB_WORKSPACE, Stream.BLOB_CHECKPOINT),
        ),
        subscribe=("$KV.fate.>",),
    ),
    UserSpec(
        name="audit",
        account=Account.AUDIT,
        publish=(
            *(f"{API}.STREAM.INFO.{mirror}" for mirror in Mirror),
            *_reads(*Mirror),  # in the origin's order, from where its own log ends: see decision 0008
        ),
        subscribe=("rpc.audit.>",),
        answers=True,
    ),
    UserSpec(name="provisioner", provisions=True, publish=_PROVISIONS),
    UserSpec(name="provisioner-audit", account=Account.AUDIT, provisions=True, publish=_PROVISIONS),
    UserSpec(
        name="ops",
        publish=(
            f"{API}.INFO",
            f"{API}.STREAM.NAMES",
            f"{API}.STREAM.LIST",
            f"{API}.STREAM.INFO.*",
            f"{API}.CONSUMER.NAMES.*",
            f"{API}.CONSUMER.LIST.*",
            f"{API}.CONSUMER.INFO.*.*",
            *_reads(Stream.CMD, Stream.EVT, Stream.DLQ, Stream.ADV),
            "cmd.>",  # replays dead letters: the original bytes under a fresh message id
        ),
        subscribe=("cmd.>", "evt.>", "dlq.>", "$JS.EVENT.ADVISORY.>"),
    ),
)

MIRRORED_API = "APPJS.API"
"""Under what name AUDIT sees the one call of APP's API that it needs."""

DELIVER = "audit.deliver"
"""Where APP delivers to the mirrors."""


def user(name: str) -> UserSpec:
    """The user of this name. Raises KeyError."""
    found = {spec.name: spec for spec in USERS}
    return found[name]


def mirrored() -> tuple[Stream, ...]:
    """The streams that AUDIT mirrors."""
    return tuple(spec.mirror_of for spec in STREAMS if spec.mirror_of is not None)
