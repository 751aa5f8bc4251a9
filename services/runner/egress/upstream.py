"""The one connection to the outside: a fixed address, checked before it is used, with no redirects and no proxy of the environment."""

import ipaddress
import socket
import ssl
from collections.abc import Sequence
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from services.runner.egress.settings import EgressSettings

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class AddressRefused(OSError):
    """The upstream's name resolves to an address outside the public internet and outside `EGRESS_ALLOW_NETWORKS`."""


def permitted(address: str, allowed: Sequence[_Network]) -> bool:
    """Whether a connection to this address may be made. IPv4 inside IPv6 is judged as what it reaches (RFC 4291, 6052, 3056, 4380)."""
    real = _unwrapped(ipaddress.ip_address(address))
    return real.is_global or any(real in network for network in allowed if network.version == real.version)


_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def _unwrapped(address: _Address) -> _Address:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)


class CheckedResolver(AbstractResolver):
    """Resolves a name and gives the addresses only where every one of them is permitted."""

    def __init__(self, allowed: Sequence[_Network]) -> None:
        self._inner = aiohttp.ThreadedResolver()
        self._allowed = allowed

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        """The addresses to connect to. Raises AddressRefused."""
        results = await self._inner.resolve(host, port, family)
        if not all(permitted(result["host"], self._allowed) for result in results):
            raise AddressRefused(host)
        return results

    async def close(self) -> None:
        """Nothing is held."""
        await self._inner.close()


def session(settings: EgressSettings) -> aiohttp.ClientSession:
    """A client for the upstream. Raises AddressRefused at once where it is configured by an address that is not permitted."""
    host = urlsplit(settings.anthropic_base_url).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass  # a name: the resolver judges it each time
    else:
        if not permitted(host, settings.allow_networks):
            raise AddressRefused(host)
    trust = ssl.create_default_context(cafile=str(settings.ca_bundle) if settings.ca_bundle else None)
    connector = aiohttp.TCPConnector(resolver=CheckedResolver(settings.allow_networks), ssl=trust, limit=64, ttl_dns_cache=30)
    # A stream may run for long: the bound is on silence, not on the whole.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=settings.upstream_idle_seconds)
    return aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False, auto_decompress=False)
