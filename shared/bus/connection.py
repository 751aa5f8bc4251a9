"""The bus, as services use it: connect, register what to consume and answer, start, and stop.

    bus = await Bus.connect(settings)
    bus.consume(Stream.CMD, Durable.GIT, handle, slots=4)
    bus.answer(AskRunInput, run_input)
    await bus.start()
    ...
    await bus.stop()

It creates nothing on the server and never publishes without the server's word that the message is stored.
"""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from shared.bus import questions
from shared.bus.client import flushed
from shared.bus.consuming import Consumers
from shared.bus.delivery import Handler, RawHandler, parsed
from shared.bus.errors import NotReady
from shared.bus.link import Link
from shared.bus.provenance import forged
from shared.bus.publishing import Outgoing, Publisher
from shared.bus.reading import Reader, StoredMessage
from shared.bus.settings import BusSettings
from shared.bus.streams import STREAM_OF_KIND, Stream
from shared.events import catalogue, ids
from shared.events.catalogue import InvalidMessage
from shared.events.envelope import AnyEnvelope, Envelope
from shared.events.payload import Value
from shared.events.questions import Question

log = structlog.get_logger(__name__)

A = TypeVar("A", bound=Value)
Q = TypeVar("Q", bound=Question[Any])

Unsubscribe = Callable[[], Awaitable[None]]
"""Ends a subscription."""


class Bus:
    """One service's connection to the bus."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.publisher = Publisher(link)
        self.reader = Reader(link)
        self._consumers = Consumers(link, self.publisher)
        self._answers = questions.Answers(link)

    @classmethod
    async def connect(cls, settings: BusSettings) -> "Bus":
        """Connect; later losses of the connection are mended for ever.

        Raises BusUnreachable after `settings.connect_seconds`, NotAuthorized at once.
        """
        return cls(await Link.open(settings))

    @property
    def nats(self) -> Client:
        """nats-py's client."""
        return self._link.client

    @property
    def settings(self) -> BusSettings:
        """Who we are on the bus."""
        return self._link.settings

    async def publish(self, envelope: Envelope[Any]) -> None:
        """Send a command or fact: returns when it is stored, however long that takes. Raises NotPermitted, MessageTooLarge."""
        await self.store(STREAM_OF_KIND[envelope.data.KIND], envelope.nats_subject, envelope.encode(), envelope.id)

    async def publish_output(self, subject: str, payload: bytes, message_id: str) -> int:
        """Send a line of a run's output; its sequence in OUT."""
        return await self.store(Stream.OUT, subject, payload, message_id)

    async def relay(self, row: Outgoing) -> None:
        """Send what an outbox holds: `Relay(database, outbox, bus.relay)`."""
        await self.store(row.stream, row.subject, row.payload, row.message_id)

    async def store(self, stream: str, subject: str, payload: bytes, message_id: str) -> int:
        """Store exact bytes; the sequence in the stream. The same `message_id` is stored once in the stream's time of memory."""
        stored = await self.publisher.until_stored(stream, subject, payload, {"Nats-Msg-Id": message_id})
        if stored.duplicate and stream == Stream.EVT and await self._taken(stored.sequence, subject):
            log.error("message_id_taken", stream=stream, subject=subject, sequence=stored.sequence)
            fresh = f"{message_id}:{ids.fresh()}"
            stored = await self.publisher.until_stored(stream, subject, payload, {"Nats-Msg-Id": fresh})
        return stored.sequence

    async def _taken(self, sequence: int, subject: str) -> bool:
        """Whether another message holds our id: ids follow from their cause, so whoever may write the stream can use them first.

        The server would drop ours without a word. Facts alone are looked at: of what else we store, one service alone writes the subjects
        and ids at hand, or what was stored may be gone because it was done.
        """
        held = await self.reader.at(Stream.EVT, sequence)
        return held is not None and held.subject != subject

    async def ask(self, question: Question[A], timeout_seconds: float = 5) -> A:
        """Ask a service. Raises NoAnswer when it is absent or late, Refused when it says no."""
        return await questions.ask(self._link, question, timeout_seconds)

    def answer(self, question_type: type[Q], handler: Callable[[Q], Awaitable[Value]]) -> None:
        """Answer questions of this type; raise `Refused` to say no. Before `start`."""
        self._answers.add(question_type, handler)

    def consume(self, stream: str, durable: str, handler: Handler, *, slots: int = 1) -> None:
        """Handle a durable's commands or facts, `slots` at a time. What raising means: see `delivery`. Before `start`."""
        self._consumers.add(stream, durable, parsed(handler), slots)

    def consume_raw(self, stream: str, durable: str, handler: RawHandler, *, slots: int = 1) -> None:
        """As `consume`, for messages that are none of the catalogue. Before `start`."""
        self._consumers.add(stream, durable, handler, slots)

    async def start(self) -> None:
        """Begin to answer and to consume. Raises NotReady where a consumer is missing."""
        await self._answers.start()
        await self._consumers.start()

    async def stop(self) -> None:
        """Take nothing new, let handlers end within the grace, send what is buffered, and close."""
        await self._consumers.stop()
        await self._answers.stop()
        try:
            await self.nats.drain()
        except NatsError as error:
            log.warning("bus_not_drained", error=type(error).__name__)
            with contextlib.suppress(OSError):  # nothing more can be sent over a connection that is gone
                await self.nats.close()

    async def ready(self) -> None:
        """Raise NotReady unless the connection stands and every consumer is there."""
        if not self.nats.is_connected:
            raise NotReady("not connected to NATS")
        await self._consumers.ready()

    async def last_fact(self, subject: str) -> AnyEnvelope | None:
        """The last fact on this subject that is one, by Direct Get. Raises ReadFailed."""
        stored = await self.reader.last(Stream.EVT, subject)
        if stored is None:
            return None
        try:
            return catalogue.parse(stored.data, stored.subject)
        except InvalidMessage as error:
            log.warning("last_fact_is_none", subject=subject, detail=str(error))
            return None

    async def read(self, stream: str, subjects: str | list[str], after: int, limit: int = 500) -> list[StoredMessage]:
        """Up to `limit` messages on `subjects` behind the sequence `after`, in order; fewer only when there are no more now.

        A wake-up may arrive before its message is stored: read again until it is there. Raises ReadFailed.
        """
        return await self.reader.after(stream, subjects, after, limit)

    async def subscribe(self, subject: str, wake: Callable[[str], None]) -> Unsubscribe:
        """Call `wake` with the subject of each message sent on `subject`: a hint to read, not a message to believe."""
        return await self._hear(subject, lambda message: wake(message.subject))

    async def listen(self, subject: str, hear: Callable[[bytes], None]) -> Unsubscribe:
        """Call `hear` with the bytes of each message sent on `subject`, which may never be stored."""
        return await self._hear(subject, lambda message: hear(message.data))

    async def _hear(self, subject: str, hear: Callable[[Msg], None]) -> Unsubscribe:
        async def genuine(message: Msg) -> None:
            if not forged(message.headers):
                hear(message)

        subscription = await self._link.listen(subject, genuine)
        await flushed(self.nats)

        async def unsubscribe() -> None:
            with contextlib.suppress(NatsError):
                await subscription.unsubscribe()

        return unsubscribe
