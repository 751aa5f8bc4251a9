"""The connection to the NATS server: opened once, with a clear error in time, and reconnected for ever after.

It must never give up silently: an unknown key fails at once, an absent server at the deadline.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.bus.errors import BusUnreachable, NotAuthorized
from shared.bus.streams import inbox_prefix

REPEATED_ORIGIN = "Async-Code-Repeated-Origin"
"""Set by us on a message that carries the marks of a Direct Get twice. See `provenance`."""

_ORIGIN_LINE = b"\r\nNats-Stream:"
_DELIVERED = b"$JS.ACK."


class _BusClient(Client):
    """nats-py's client, for messages whose headers somebody hostile wrote."""

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        """As nats-py, which raises on some bytes and then hears nothing any more. Keys that repeat are counted for `provenance`."""
        if not headers:
            return None
        try:
            parsed = await super()._process_headers(headers)  # pyright: ignore[reportUnknownMemberType]
        except (IndexError, ValueError):
            parsed = self._parse_header_lines(headers)
        if parsed is not None and headers.count(_ORIGIN_LINE) > 1:
            parsed[REPEATED_ORIGIN] = "1"
        return parsed

    def _build_message(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None) -> Msg:
        """A consumer's delivery is a message, also when its sender wrote a `Status`, which nats-py would take for the server's."""
        if headers and bytes(reply).startswith(_DELIVERED):
            headers.pop("Status", None)
        return super()._build_message(sid, _readable(subject), _readable(reply), data, headers)


def _readable(subject: bytes) -> bytes:
    return bytes(subject).decode(errors="replace").encode()


async def _ignore_error(_error: Exception) -> None:
    """Nobody asked."""


async def _ignore() -> None:
    """Nobody asked."""


async def flushed(client: Client) -> None:
    """Return when the server has seen everything sent so far.

    One flush does not say so: nats-py writes its PING at once, past commands that wait to be written (verified on 2.16.0). When the
    first PONG is back they are written, and the second PING is behind them.
    """
    await client.flush()
    await client.flush()


@dataclass(frozen=True, kw_only=True)
class Listeners:
    """Who hears what happens to the connection."""

    error: Callable[[Exception], Awaitable[None]] = _ignore_error
    disconnected: Callable[[], Awaitable[None]] = _ignore
    reconnected: Callable[[], Awaitable[None]] = _ignore
    closed: Callable[[], Awaitable[None]] = _ignore


async def open_client(
    *, url: str, user: str, nkey_file: Path, ca_file: Path | None, deadline_seconds: float, listeners: Listeners | None = None
) -> Client:
    """Connect as soon as the server is there. Raises NotAuthorized at once, BusUnreachable at the deadline with the last reason."""
    heard = listeners or Listeners()
    client = _BusClient()
    last = "no answer"

    async def on_error(error: Exception) -> None:
        nonlocal last
        last = str(error) or type(error).__name__
        if not client.is_connected and not client.is_reconnecting and "authorization violation" in last.lower():
            raise NotAuthorized(f"{url} as {user}") from error
        await heard.error(error)

    try:
        async with asyncio.timeout(deadline_seconds):
            await client.connect(
                url.split(","),
                name=f"async-code {user}",
                nkeys_seed=str(nkey_file),
                tls=ssl.create_default_context(cafile=ca_file) if ca_file else None,
                inbox_prefix=inbox_prefix(user),
                error_cb=on_error,
                disconnected_cb=heard.disconnected,
                reconnected_cb=heard.reconnected,
                closed_cb=heard.closed,
                max_reconnect_attempts=-1,  # exhausted attempts hang the loop at 100 % CPU (verified)
                reconnect_time_wait=cast("int", 0.25),
                ping_interval=5,
            )
    except TimeoutError as error:
        await client.close()
        raise BusUnreachable(f"{url} as {user}: {last}") from error
    except NotAuthorized:
        await client.close()
        raise
    return client
