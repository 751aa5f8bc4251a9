"""Reading streams without a consumer, by batched Direct Get: no service may create a consumer (that right can forge deliveries).

It needs the right on `DIRECT.GET.<stream>` alone. Forged messages are left out, loudly.
"""

import asyncio
import itertools
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from shared.bus.errors import NotPermitted, ReadFailed
from shared.bus.link import Link
from shared.bus.provenance import stored_forged
from shared.bus.streams import API

log = structlog.get_logger(__name__)

_ATTEMPTS = 4
_SILENCE_SECONDS = 3.0
_BATCH_BYTES = 8 * 1024 * 1024
_SEQUENCE = "Nats-Sequence"
"""On every stored message, set by the server after whatever its sender set, and on no status: a sender may well write `Status: 204`."""
_END_OF_BATCH = "204"
_NONE = "404"


@dataclass(frozen=True)
class StoredMessage:
    """A message as its stream holds it."""

    sequence: int
    subject: str
    data: bytes
    headers: Mapping[str, str]
    time: datetime
    """When the stream stored it."""


class Reader:
    """Reads streams. One subscription carries all answers; it is made at the first read and survives reconnects."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._answers: dict[str, asyncio.Queue[Msg]] = {}
        self._tokens = itertools.count()
        self._inbox: str | None = None

    async def last(self, stream: str, subject: str) -> StoredMessage | None:
        """The last message on `subject`. Raises ReadFailed."""
        found, _ = await self._request(stream, {"last_by_subj": subject})
        return next(iter(_genuine(stream, found)), None)

    async def last_of_each(self, stream: str, subjects: list[str]) -> list[StoredMessage]:
        """The last message of each of these subjects (at most 1,024), where there is one. Raises ReadFailed."""
        found, _ = await self._request(stream, {"multi_last": subjects, "batch": len(subjects)})
        return _genuine(stream, found)

    async def at(self, stream: str, sequence: int) -> StoredMessage | None:
        """The message with this sequence number. Raises ReadFailed."""
        found, _ = await self._request(stream, {"seq": sequence})
        return next(iter(_genuine(stream, found)), None)

    async def after(self, stream: str, subjects: str | list[str], after: int, limit: int) -> list[StoredMessage]:
        """Up to `limit` messages on `subjects` behind the sequence `after`, in order. Fewer only when there are no more now."""
        several = [subjects] if isinstance(subjects, str) else subjects
        found = [message for subject in several for message in await self._after(stream, subject, after, limit)]
        unique = {message.sequence: message for message in found}
        return [unique[sequence] for sequence in sorted(unique)][:limit]

    async def _after(self, stream: str, subject: str, after: int, limit: int) -> list[StoredMessage]:
        read: list[StoredMessage] = []
        last, pending = after, 1
        while pending and len(read) < limit:
            request = {"seq": last + 1, "next_by_subj": subject, "batch": limit - len(read), "max_bytes": _BATCH_BYTES}
            found, pending = await self._request(stream, request)
            if not found:
                break
            last = found[-1].sequence
            read.extend(_genuine(stream, found))
        return read

    async def _request(self, stream: str, request: Mapping[str, object]) -> tuple[list[StoredMessage], int]:
        """What the server answers, and how much more there is. A read can be repeated, so it is, through a short outage."""
        for attempt in range(_ATTEMPTS):
            began = time.monotonic()
            try:
                return await self._once(stream, request)
            except (ReadFailed, NatsError, TimeoutError) as error:
                if self._link.denied_since(f"{API}.DIRECT.GET.{stream}", began):
                    raise NotPermitted(f"{self._link.settings.user} may not read {stream}") from error
                log.warning("read_retried", stream=stream, attempt=attempt + 1, error=str(error) or type(error).__name__)
                await self._link.connected_within(_SILENCE_SECONDS)
        raise ReadFailed(f"{stream}: no complete answer in {_ATTEMPTS} attempts")

    async def _once(self, stream: str, request: Mapping[str, object]) -> tuple[list[StoredMessage], int]:
        inbox = await self._listen()
        token = f"{next(self._tokens):x}"
        answers = self._answers[token] = asyncio.Queue()
        try:
            await self._link.client.publish(f"{API}.DIRECT.GET.{stream}", json.dumps(request).encode(), reply=f"{inbox}.{token}")
            return await _collect(answers, batched="batch" in request)
        finally:
            del self._answers[token]

    async def _listen(self) -> str:
        if self._inbox is None:
            self._inbox = self._link.client.new_inbox()
            await self._link.listen(f"{self._inbox}.*", self._hear, pending_messages=0)
        return self._inbox

    async def _hear(self, message: Msg) -> None:
        if waiting := self._answers.get(message.subject.rpartition(".")[2]):
            waiting.put_nowait(message)


async def _collect(answers: asyncio.Queue[Msg], *, batched: bool) -> tuple[list[StoredMessage], int]:
    found: list[StoredMessage] = []
    while True:
        async with asyncio.timeout(_SILENCE_SECONDS):
            message = await answers.get()
        headers = message.headers or {}
        status = headers.get("Status")
        if _SEQUENCE in headers:
            found.append(_stored_message(message, headers))
            if not batched:
                return found, 0
        elif status == _END_OF_BATCH:
            return found, int(headers.get("Nats-Num-Pending", "0"))
        elif status == _NONE:
            return found, 0
        else:
            raise ReadFailed(f"the server answered {status}")


def _stored_message(message: Msg, headers: dict[str, Any]) -> StoredMessage:
    return StoredMessage(
        sequence=int(headers[_SEQUENCE]),
        subject=headers["Nats-Subject"],
        data=message.data,
        headers=headers,
        time=datetime.fromisoformat(headers["Nats-Time-Stamp"]),
    )


def _genuine(stream: str, messages: Iterable[StoredMessage]) -> list[StoredMessage]:
    genuine: list[StoredMessage] = []
    for message in messages:
        if stored_forged(message.headers):
            log.error("forged_message_refused", stream=stream, sequence=message.sequence, subject=message.subject)
        else:
            genuine.append(message)
    return genuine
