"""The state of the one connection: connected or not, closed for good, and which subjects the server denied us."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from shared.bus.client import Listeners, open_client
from shared.bus.errors import BusClosed
from shared.bus.settings import BusSettings

log = structlog.get_logger(__name__)

_DENIED = re.compile(r'permissions violation for (?:publish|subscription) to "([^"]+)"', re.IGNORECASE)


class Link:
    """A connected client and what is known about its connection."""

    def __init__(self, settings: BusSettings) -> None:
        self.settings = settings
        self._denied: dict[str, float] = {}
        self._up = asyncio.Event()
        self._client: Client | None = None

    @classmethod
    async def open(cls, settings: BusSettings) -> "Link":
        """Connect. Raises NotAuthorized at once, BusUnreachable after `connect_seconds`."""
        link = cls(settings)
        link._client = await open_client(
            url=settings.url,
            user=settings.user,
            nkey_file=settings.nkey_file,
            ca_file=settings.ca_file,
            deadline_seconds=settings.connect_seconds,
            listeners=Listeners(error=link._on_error, disconnected=link._on_down, reconnected=link._on_up, closed=link._on_closed),
        )
        link._up.set()
        return link

    @property
    def client(self) -> Client:
        """nats-py's client."""
        if self._client is None:
            raise BusClosed("not connected yet")
        return self._client

    async def listen(
        self, subject: str, hear: Callable[[Msg], Awaitable[None]], *, queue: str = "", pending_messages: int = 65_536
    ) -> Subscription:
        """A plain subscription; `pending_messages` 0 keeps whatever arrives until it is heard."""
        pending_bytes = 64 * 1024 * 1024 if pending_messages else 0
        return await self.client.subscribe(  # pyright: ignore[reportUnknownMemberType]
            subject, queue=queue, cb=hear, pending_msgs_limit=pending_messages, pending_bytes_limit=pending_bytes
        )

    async def connected(self) -> None:
        """Return when the connection is there. Raises BusClosed when it never will be."""
        await self._up.wait()
        if self.client.is_closed:
            raise BusClosed("the connection was closed")

    async def connected_within(self, seconds: float) -> bool:
        """Whether the connection is there, now or in that time. Raises BusClosed."""
        try:
            async with asyncio.timeout(seconds):
                await self.connected()
        except TimeoutError:
            return False
        return True

    def denied_since(self, subject: str, moment: float) -> bool:
        """Whether the server denied `subject` after `moment` (monotonic): it says so apart from the request, which just times out."""
        return self._denied.get(subject.lower(), 0.0) >= moment

    async def _on_error(self, error: Exception) -> None:
        if denied := _DENIED.search(str(error)):
            self._denied[denied.group(1).lower()] = time.monotonic()
            log.error("bus_permission_denied", subject=denied.group(1))
        else:
            log.warning("bus_connection_error", error=str(error) or type(error).__name__)

    async def _on_down(self) -> None:
        self._up.clear()
        log.warning("bus_disconnected")

    async def _on_up(self) -> None:
        self._up.set()
        log.info("bus_reconnected")

    async def _on_closed(self) -> None:
        self._up.set()  # whoever waits for the connection must hear that it will not come
        log.info("bus_closed")
