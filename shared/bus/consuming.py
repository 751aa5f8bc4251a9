"""Pulling deliveries from durable consumers, by FastStream: one pull subscriber with batch size 1 per slot.

Larger batches and several workers prefetch, and `ack_wait` runs on what is buffered: long work then ran twice (verified). Consumers are
the provisioner's: here one is looked up, never created.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any, cast

import structlog
from faststream.message import StreamMessage
from faststream.middlewares import AckPolicy
from faststream.nats import JStream, NatsBroker, PullSub
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from shared.bus.delivery import RawHandler, Settlement
from shared.bus.errors import NotReady
from shared.bus.link import Link
from shared.bus.publishing import Publisher
from shared.bus.streams import API, inbox_prefix

log = structlog.get_logger(__name__)

_PULL_SECONDS = 5.0
_PAUSE_SECONDS = 1.0
_INFO_SECONDS = 5.0
_CANCELLED_SECONDS = 5.0


class _Broker(NatsBroker):
    """FastStream's broker on our connection, which alone knows how to connect and what to hear of it."""

    def __init__(self, link: Link) -> None:
        # FastStream logs each message with its text; ours does not. Its injection is not needed: the handler takes the raw message.
        super().__init__(
            link.settings.url, logger=None, apply_types=False, graceful_timeout=link.settings.grace_seconds, js_options={"prefix": API}
        )
        self._link = link

    async def _connect(self) -> Client:
        self.config.connect(self._link.client)
        return self._link.client


class _PacedPull:
    """A pull subscription that waits after an error: FastStream asks again at once, which spins while a consumer or the server is away."""

    def __init__(self, pull: JetStreamContext.PullSubscription, durable: str) -> None:
        self._pull = pull
        self._durable = durable

    async def fetch(self, batch: int, timeout: float | None) -> list[Msg]:  # noqa: ASYNC109 - FastStream's call
        began = time.monotonic()
        try:
            return await self._pull.fetch(batch=batch, timeout=timeout)
        except (NatsError, TimeoutError) as error:
            if time.monotonic() - began < _PAUSE_SECONDS:
                log.warning("pull_failed", durable=self._durable, error=type(error).__name__)
                await asyncio.sleep(_PAUSE_SECONDS)
            raise NatsTimeoutError from error

    async def unsubscribe(self) -> None:
        await self._pull.unsubscribe()


async def _raw(message: StreamMessage[Msg]) -> Msg:
    """The handler takes the message as the server sent it: FastStream must not guess at its bytes."""
    return message.raw_message


@dataclass(frozen=True)
class _Consumer:
    stream: str
    durable: str
    settlement: Settlement
    slots: int


class Consumers:
    """The durables that this process pulls."""

    def __init__(self, link: Link, publisher: Publisher) -> None:
        self._link = link
        self._publisher = publisher
        self._consumers: list[_Consumer] = []
        self._broker = _Broker(link)

    def add(self, stream: str, durable: str, handler: RawHandler, slots: int) -> None:
        """Handle a durable's messages, `slots` at a time. Before `start`."""
        self._consumers.append(_Consumer(stream, durable, Settlement(self._link, self._publisher, handler), slots))

    async def start(self) -> None:
        """Begin to pull. Raises NotReady where a consumer is missing."""
        for consumer in self._consumers:
            consumer.settlement.ack_wait_seconds = await self._ack_wait(consumer.stream, consumer.durable)
            for _slot in range(consumer.slots):
                self._subscribe(consumer)
        await self._broker.start()
        for subscriber in self._broker.subscribers:
            pulled = cast("Any", subscriber)
            pulled.subscription = _PacedPull(pulled.subscription, pulled.config.durable_name)

    async def stop(self) -> None:
        """Take nothing new and let handlers end; those that go on after the grace are cancelled, and their messages handed back."""
        handling = set[asyncio.Task[Any]]()
        for subscriber in self._broker.subscribers:
            cast("Any", subscriber).running = False
            handling |= set(cast("Any", subscriber).tasks)
        await asyncio.gather(*(subscriber.stop() for subscriber in self._broker.subscribers))
        if handling:  # FastStream cancels and does not wait: what they leave behind in order needs the connection
            await asyncio.wait(handling, timeout=_CANCELLED_SECONDS)

    async def ready(self) -> None:
        """Raise NotReady unless every consumer is there: a deleted one is not noticed otherwise (verified)."""
        for consumer in self._consumers:
            await self._ack_wait(consumer.stream, consumer.durable)

    def _subscribe(self, consumer: _Consumer) -> None:
        subscriber = self._broker.subscriber(
            f"{consumer.stream}.{consumer.durable}",  # never used on the wire: stream and durable name the consumer
            stream=JStream(consumer.stream, declare=False),
            durable=consumer.durable,
            pull_sub=PullSub(batch_size=1, timeout=_PULL_SECONDS),
            inbox_prefix=f"{inbox_prefix(self._link.settings.user)}.".encode(),
            ack_policy=AckPolicy.MANUAL,
            decoder=_raw,
            no_reply=True,
        )

        async def handle(message: Msg) -> None:
            await consumer.settlement(message)

        subscriber(handle)

    async def _ack_wait(self, stream: str, durable: str) -> float:
        try:
            info = await JetStreamContext(self._link.client, prefix=API, timeout=_INFO_SECONDS).consumer_info(stream, durable)
        except NotFoundError as error:
            raise NotReady(f"consumer {durable} of {stream} is missing: run the provisioner") from error
        except (NatsError, TimeoutError) as error:
            raise NotReady(f"consumer {durable} of {stream}: {type(error).__name__}") from error
        return info.config.ack_wait or 30.0
