"""What happens to one delivered message: parse, hand over, and settle by how the handler ends.

| the handler | the message |
|---|---|
| returns | is acked, and the ack is confirmed (an ack that is only sent is lost with the server: verified) |
| raises `Postpone` | comes back after that delay, as often as it takes |
| raises `Transient`, or anything unexpected | comes back after 1, 5, 30, 120 s; after one failure more it is a dead letter |
| raises `Terminal` or `InvalidMessage`, or the bytes are no message of ours | is a dead letter at once |
| is cancelled because the process stops | comes back after half a second, to whoever takes it |

Failures are counted here, in the process: the server's count of deliveries also counts postponements, and starts again at 1 when the
server dies (verified). So several replicas may try a command as many times each, which only means more tries. A command that kills its
process is counted by nobody but the server: `max_deliver` ends it.

An acked command may come again all the same: CMD is mirrored, the ack of the last moments takes effect when the mirror has the message,
and a server that is killed meanwhile offers it anew (verified: up to 150 of 400; without the mirror none). What this process finished
it remembers and only acks; a handler must bear the command that another replica, or its own former life, has finished.

A dead letter is stored before its message is acked: rather twice in sight of the deduplication than lost.
"""

import asyncio
import contextlib
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from shared.bus.dead_letters import DeadLetter, Reason, bury
from shared.bus.errors import BusError, Postpone, Terminal, Transient
from shared.bus.link import Link
from shared.bus.provenance import forged
from shared.bus.publishing import Publisher
from shared.events import catalogue
from shared.events.catalogue import InvalidMessage
from shared.events.envelope import AnyEnvelope

log = structlog.get_logger(__name__)

_ACK_SECONDS = 2.0
_ACK_GIVES_UP_SECONDS = 20.0
_HAND_BACK_SECONDS = 0.5
_REMEMBERED = 10_000


class Delivery:
    """One delivery of one message. `deliveries` counts from 1 and is no fence: it starts again when the server dies."""

    def __init__(self, message: Msg) -> None:
        metadata = message.metadata
        self.stream: str = metadata.stream
        self.sequence: int = metadata.sequence.stream
        self.deliveries: int = metadata.num_delivered
        self.subject: str = message.subject
        self.data: bytes = message.data
        self.headers: Mapping[str, str] = message.headers or {}
        self._message = message

    @property
    def key(self) -> tuple[str, int, bytes]:
        """What tells this message from every other."""
        return self.stream, self.sequence, hashlib.blake2b(self.data, digest_size=16).digest()

    async def in_progress(self) -> None:
        """Ask the server for more time. The bus does so by itself while a handler runs; it cannot notice a dead server."""
        with contextlib.suppress(NatsError):
            await self._message.in_progress()


Handler = Callable[[AnyEnvelope, Delivery], Awaitable[None]]
"""Handles one command or fact. It must bear being called twice with the same message."""

RawHandler = Callable[[Delivery], Awaitable[None]]
"""Handles one message that is none of the catalogue: an advisory."""


def parsed(handler: Handler) -> RawHandler:
    """A handler of envelopes as one of deliveries. Raises InvalidMessage for what is not a message of ours."""

    async def handle(delivery: Delivery) -> None:
        if forged(delivery.headers):
            raise InvalidMessage("the message is the answer to somebody's Direct Get")
        await handler(catalogue.parse(delivery.data, delivery.subject), delivery)

    return handle


class Memory:
    """What this process knows of messages: how often it failed at them, and which it has finished. The oldest are forgotten.

    A message is known by its sequence and its bytes: a server that lost its newest messages with the power gives numbers again.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, int, bytes], int | None] = OrderedDict()

    def failed(self, delivery: Delivery) -> int:
        """One failure more; how many now."""
        failures = (self._known.get(delivery.key) or 0) + 1
        self._remember(delivery, failures)
        return failures

    def finished(self, delivery: Delivery) -> None:
        """It is done with, and may be acked whenever it comes."""
        self._remember(delivery, None)

    def is_finished(self, delivery: Delivery) -> bool:
        """Whether this process has finished the message already."""
        return self._known.get(delivery.key, 0) is None

    def _remember(self, delivery: Delivery, what: int | None) -> None:
        self._known[delivery.key] = what
        self._known.move_to_end(delivery.key)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


class Settlement:
    """Runs one durable's handler on each delivery and settles it."""

    def __init__(self, link: Link, publisher: Publisher, handler: RawHandler) -> None:
        self._link = link
        self._publisher = publisher
        self._handler = handler
        self._memory = Memory()
        self.ack_wait_seconds = 30.0

    async def __call__(self, message: Msg) -> None:
        """Handle and settle. Raises nothing but cancellation."""
        delivery = Delivery(message)
        with structlog.contextvars.bound_contextvars(stream=delivery.stream, sequence=delivery.sequence):
            beat = asyncio.create_task(self._beat(delivery))
            try:
                await self._settle(message, delivery)
            except asyncio.CancelledError:
                await _nak(message, _HAND_BACK_SECONDS)
                raise
            except BusError as error:  # could not be given up: it comes back after its ack_wait
                log.error("delivery_not_settled", error=type(error).__name__, detail=str(error))  # noqa: TRY400
            finally:
                beat.cancel()

    async def _settle(self, message: Msg, delivery: Delivery) -> None:
        if self._memory.is_finished(delivery):
            await self._acked(message)
            return
        try:
            await self._handler(delivery)
        except Postpone as postponed:
            await _nak(message, postponed.delay_seconds)
        except (Terminal, InvalidMessage) as error:
            log.warning("delivery_refused", error=type(error).__name__, detail=str(error))
            await self._give_up(message, delivery, error, "invalid" if isinstance(error, InvalidMessage) else "refused")
        except Exception as error:  # noqa: BLE001 - the boundary: whatever a handler raises settles its message, here and nowhere else
            await self._failed(message, delivery, error)
        else:
            self._memory.finished(delivery)
            await self._acked(message)

    async def _failed(self, message: Msg, delivery: Delivery, error: Exception) -> None:
        delays = self._link.settings.retry_delays_seconds
        failures = self._memory.failed(delivery)
        log.warning("delivery_failed", failures=failures, error=type(error).__name__, exc_info=None if _foreseen(error) else error)
        if failures > len(delays):
            await self._give_up(message, delivery, error, "exhausted")
        else:
            await _nak(message, delays[failures - 1])

    async def _give_up(self, message: Msg, delivery: Delivery, error: Exception, reason: Reason) -> None:
        letter = DeadLetter(
            service=self._link.settings.user,
            stream=delivery.stream,
            sequence=delivery.sequence,
            subject=delivery.subject,
            data=delivery.data,
            reason=reason,
            error_code=type(error).__name__,
        )
        await bury(self._publisher, letter)
        self._memory.finished(delivery)
        await self._acked(message)

    async def _acked(self, message: Msg) -> None:
        """Ack until the server confirms. After a while the message may as well come back: handlers bear that."""
        deadline = time.monotonic() + _ACK_GIVES_UP_SECONDS
        while time.monotonic() < deadline:
            try:
                await message.ack_sync(timeout=_ACK_SECONDS)
            except (NatsError, TimeoutError) as error:
                log.warning("ack_retried", error=type(error).__name__)
                await self._link.connected_within(_ACK_SECONDS)
            else:
                return
        log.error("ack_not_confirmed")

    async def _beat(self, delivery: Delivery) -> None:
        while True:
            await asyncio.sleep(self.ack_wait_seconds / 3)
            await delivery.in_progress()


def _foreseen(error: Exception) -> bool:
    return isinstance(error, Transient)


async def _nak(message: Msg, delay_seconds: float) -> None:
    """Not sent, or lost: then the message comes back after its ack_wait."""
    with contextlib.suppress(NatsError):
        await message.nak(delay=max(delay_seconds, 0.001))
