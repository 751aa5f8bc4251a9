"""Storing messages: every message names its stream, carries its id as `Nats-Msg-Id`, and counts as sent when the server says "stored".

A publish without a stream's answer is lost without a word, and one that timed out may be stored all the same later (both verified): so
here is no publish without an answer, and every repetition carries the same id.
"""

import asyncio
import json
import time
from typing import Any, NamedTuple, Protocol

import structlog
from nats.errors import (
    ConnectionClosedError,
    ConnectionDrainingError,
    MaxPayloadError,
    NoRespondersError,
    OutboundBufferLimitError,
)
from nats.errors import TimeoutError as NatsTimeoutError

from shared.bus.errors import AlreadyStored, BusClosed, MessageTooLarge, NotPermitted, StoreFull, StoreRefused, Transient, WrongRevision
from shared.bus.link import Link

log = structlog.get_logger(__name__)

_ATTEMPT_SECONDS = 5.0
_BACKOFF_SECONDS = (0.05, 0.2, 0.5, 1.0, 2.0)

# The server's error codes (nats-server, server/errors.json).
_WRONG_LAST_SEQUENCE = frozenset({10071, 10164})
_STORE_FAILED = 10077
_RESOURCES = frozenset({10023, 10047})
_TOO_LARGE = 10054
_UNAVAILABLE = 503


class Unstored(Transient):
    """No answer, or the stream is not there yet: the message may or may not be stored."""


class Stored(NamedTuple):
    """Where a message was stored."""

    sequence: int
    duplicate: bool


class Outgoing(Protocol):
    """A message that is ready to be sent: a row of an outbox."""

    @property
    def stream(self) -> str:
        """Where it is stored."""
        ...

    @property
    def subject(self) -> str:
        """Its subject."""
        ...

    @property
    def message_id(self) -> str:
        """Its `Nats-Msg-Id`."""
        ...

    @property
    def payload(self) -> bytes:
        """Its exact bytes."""
        ...


class Publisher:
    """Stores messages in streams."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def until_stored(self, stream: str, subject: str, payload: bytes, headers: dict[str, str]) -> Stored:
        """Try until it is stored, through outages and a full stream. Raises NotPermitted, MessageTooLarge, StoreRefused, BusClosed."""
        failures = 0
        while True:
            try:
                return await self.attempt(stream, subject, payload, headers)
            except (Unstored, StoreFull) as error:
                log.warning("publish_retried", stream=stream, subject=subject, failures=failures + 1, error=str(error))
            await asyncio.sleep(_BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)])
            await self._link.connected()
            failures += 1

    async def attempt(
        self, stream: str, subject: str, payload: bytes, headers: dict[str, str], timeout_seconds: float = _ATTEMPT_SECONDS
    ) -> Stored:
        """Try once. Raises Unstored when that is not known, else what the stream said."""
        began = time.monotonic()
        try:
            reply = await self._link.client.request(
                subject, payload, timeout=timeout_seconds, headers={**headers, "Nats-Expected-Stream": stream}
            )
        except (NatsTimeoutError, TimeoutError, OutboundBufferLimitError) as error:
            if self._link.denied_since(subject, began):
                raise NotPermitted(subject) from error
            raise Unstored(f"no answer from {stream}") from error
        except NoRespondersError as error:
            raise Unstored(f"{stream} is not there") from error
        except MaxPayloadError as error:
            raise MessageTooLarge(subject) from error
        except (ConnectionClosedError, ConnectionDrainingError) as error:
            raise BusClosed(subject) from error
        return _stored(json.loads(reply.data), stream)


def _stored(answer: dict[str, Any], stream: str) -> Stored:
    problem = answer.get("error")
    if problem is None:
        return Stored(sequence=answer["seq"], duplicate=answer.get("duplicate", False))
    code, description = problem.get("err_code"), f"{stream}: {problem.get('description', '')}"
    if code in _WRONG_LAST_SEQUENCE:
        raise WrongRevision(description)
    if code == _STORE_FAILED and "per subject" in description:
        raise AlreadyStored(description)
    if code == _STORE_FAILED or code in _RESOURCES:
        raise StoreFull(description)
    if code == _TOO_LARGE:
        raise MessageTooLarge(description)
    if problem.get("code") == _UNAVAILABLE:
        raise Unstored(description)
    raise StoreRefused(description)
