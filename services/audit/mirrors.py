"""The mirrors of the AUDIT account, read by Direct Get: in the origin's order, from any sequence number, without a consumer.

A consumer would deliver again what was pending when its reader died, after what came later; the log wants the origin's order, and knows
itself where it ends (docs/decisions/0008-merkle-log.md). Must never write to a stream, and never leave out a message: what a service
forged is what the trail is for. So the rule of `shared.bus.provenance` is not applied here, and what ends a batch is the absence of the
server's own sequence number, not a header anyone may set.
"""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from services.audit import entry
from services.audit.entry import Entry
from shared.bus.errors import ReadFailed
from shared.bus.streams import API, Mirror, Stream

MIRROR_OF = {Stream[mirror.name]: mirror for mirror in Mirror}
"""Every origin that the trail follows, and its mirror."""

SEQUENCE = "Nats-Sequence"
"""On every stored message, set by the server after whatever its producer set; on no status."""

_ADDED_BY_DIRECT_GET = frozenset({SEQUENCE, "Nats-Stream", "Nats-Subject", "Nats-Time-Stamp", "Nats-Num-Pending", "Nats-Last-Sequence"})
_BATCH_BYTES = 8 * 1024 * 1024
_SILENCE_SECONDS = 3
_ENDS = frozenset({"204", "404"})


@dataclass(frozen=True)
class Standing:
    """Where a mirror is."""

    first: int
    last: int
    lag: int
    """How many messages its origin has and it has not."""


class Mirrors(Protocol):
    """The origin streams, as their mirrors have them. Every call raises ReadFailed when nobody answers."""

    async def read(self, stream: Stream, after: int, limit: int) -> list[Entry]:
        """The next entries after this sequence number, in order; none when there are none yet."""
        ...

    async def standing(self, stream: Stream) -> Standing:
        """Where the stream's mirror is."""
        ...


class NatsMirrors(Mirrors):
    """The mirrors of a real server, over the audit user's connection."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def read(self, stream: Stream, after: int, limit: int) -> list[Entry]:
        """One batched Direct Get."""
        request = {"seq": after + 1, "next_by_subj": ">", "batch": limit, "max_bytes": _BATCH_BYTES}
        async with aclosing(self._answers(f"{API}.DIRECT.GET.{MIRROR_OF[stream]}", request)) as answers:
            return [_entry(stream, message.headers or {}, message.data) async for message in answers]

    async def standing(self, stream: Stream) -> Standing:
        """The mirror's own report."""
        try:
            reply = await self._client.request(f"{API}.STREAM.INFO.{MIRROR_OF[stream]}", timeout=_SILENCE_SECONDS)
        except (nats.errors.Error, TimeoutError) as error:
            raise ReadFailed(f"{MIRROR_OF[stream]} gives no report: {type(error).__name__}") from error
        report: dict[str, Any] = json.loads(reply.data)
        if "error" in report:
            raise ReadFailed(f"{MIRROR_OF[stream]}: {report['error'].get('description')}")
        state, mirror = report["state"], report.get("mirror", {})
        return Standing(state["first_seq"], state["last_seq"], mirror.get("lag", 0))

    async def _answers(self, subject: str, request: Mapping[str, object]) -> AsyncGenerator[Msg]:
        try:
            inbox = self._client.new_inbox()
            subscription = await self._client.subscribe(inbox, pending_msgs_limit=0, pending_bytes_limit=0)  # pyright: ignore[reportUnknownMemberType]
            try:
                await self._client.publish(subject, json.dumps(request).encode(), reply=inbox)
                while SEQUENCE in ((message := await subscription.next_msg(_SILENCE_SECONDS)).headers or {}):
                    yield message
            finally:
                await subscription.unsubscribe()
        except (nats.errors.Error, TimeoutError) as error:
            raise ReadFailed(f"{subject} gives no complete answer: {type(error).__name__}") from error
        if (status := (message.headers or {}).get("Status")) not in _ENDS:
            raise ReadFailed(f"{subject} answered {status}")


def _entry(stream: Stream, headers: dict[str, str], data: bytes) -> Entry:
    own = {name: value for name, value in headers.items() if name not in _ADDED_BY_DIRECT_GET}
    return Entry(
        stream=stream.value,
        stream_sequence=int(headers[SEQUENCE]),
        subject=entry.printable(headers["Nats-Subject"]),
        headers=entry.encode_headers(own),
        stored_at=datetime.fromisoformat(headers["Nats-Time-Stamp"]),
        data=data,
    )
