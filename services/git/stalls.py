"""Tells a host that takes connections and gets no further from one that is only slow: git itself waits for the former for five minutes.

git bounds silence within a transfer (`http.lowSpeedTime`), and nothing before one: a TLS handshake that does not end holds a command, and
with it one of the few that run at a time. It connects only to where `resolution` has judged that git may connect.
"""

import asyncio
import ssl
from ipaddress import ip_address

from services.git.resolution import Destination

_HANDSHAKE_SECONDS = 10.0
_MOST_ADDRESSES = 4


async def is_stalled(destination: Destination) -> bool:
    """Whether none of the host's addresses ends a TLS handshake, well or badly. Nothing is sent there and nothing believed."""
    if destination.address.protocol != "https":
        return False
    answered = await asyncio.gather(*(_answers(place, destination) for place in _places(destination)[:_MOST_ADDRESSES]))
    return not any(answered)


def _places(destination: Destination) -> list[str]:
    """The addresses that git was pinned to."""
    if destination.pin is None:
        return [destination.address.host]
    return [str(ip_address(place.strip("[]"))) for place in destination.pin.split(":", 2)[2].split(",")]


async def _answers(place: str, destination: Destination) -> bool:
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # who it is, git itself has to find out
    anybody.check_hostname = False
    anybody.verify_mode = ssl.CERT_NONE
    address = destination.address
    try:
        async with asyncio.timeout(_HANDSHAKE_SECONDS):
            _, writer = await asyncio.open_connection(place, address.port, ssl=anybody, server_hostname=address.host)
    except TimeoutError:
        return False
    except (OSError, ssl.SSLError):
        return True  # which git is told as well
    writer.transport.abort()
    return True
