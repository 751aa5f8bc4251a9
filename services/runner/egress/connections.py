"""The connections to the outside: fixed addresses, checked before it is used, with no redirects and no proxy of the environment."""

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


_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))  # RFC 6052 §2.1, RFC 8215
_COMPATIBLE = ipaddress.IPv6Network("::/96")  # RFC 4291 §2.5.5.1: deprecated, yet is_global of Python 3.11 calls ::127.0.0.1 public
_NOT_COMPATIBLE = frozenset({ipaddress.IPv6Address("::"), ipaddress.IPv6Address("::1")})  # RFC 4291 §2.5.2, §2.5.3: addresses of their own
_RELAY = ipaddress.IPv4Network("192.88.99.0/24")  # RFC 7526: 6to4 relays, withdrawn
_SITE_LOCAL = ipaddress.IPv6Network("fec0::/10")  # RFC 3879: withdrawn, yet is_global of Python 3.11 calls it public


def permitted(address: str, allowed: Sequence[_Network]) -> bool:
    """Whether a connection to this address may be made.

    IPv4 inside IPv6 is judged as what it reaches. The git service follows the same rules, and a test holds the two together: services
    share no code.
    """
    return _permitted(ipaddress.ip_address(address.partition("%")[0]), allowed)


def _permitted(address: _Address, allowed: Sequence[_Network]) -> bool:
    if inner := _carried(address):
        return all(_permitted(each, allowed) for each in inner)
    if any(address in network for network in allowed):
        return True
    if address in _RELAY or address in _SITE_LOCAL:
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _carried(address: _Address) -> tuple[ipaddress.IPv4Address, ...]:
    """The IPv4 addresses inside: v4-mapped and v4-compatible (RFC 4291), 6to4 (RFC 3056), Teredo's both (RFC 4380), NAT64 (RFC 6052)."""
    if isinstance(address, ipaddress.IPv4Address):
        return ()
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    compatible = address in _COMPATIBLE and address not in _NOT_COMPATIBLE
    if compatible or any(address in network for network in _NAT64):
        return (ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF),)
    return ()


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


def check(host: str, settings: EgressSettings) -> None:
    """Raises AddressRefused for an address that is not permitted; a name is judged each time that it is resolved."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return
    if not permitted(host, settings.allow_networks):
        raise AddressRefused(host)


def admit(base_url: str, settings: EgressSettings) -> None:
    """Judge an address that a person stored with a key. Raises AddressRefused.

    A key goes out in the clear only to an address, not a name, that the operator has opened: what a name leads to can change on the way.
    Every other name is judged by what it resolves to, each time, and connected to as it was judged.
    """
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    check(host, settings)
    if parts.scheme != "https" and not _opened(host, settings):
        raise AddressRefused(host)


def _opened(host: str, settings: EgressSettings) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in settings.allow_networks)


def session(settings: EgressSettings) -> aiohttp.ClientSession:
    """A client for the upstreams. Raises AddressRefused at once where one is configured by an address that is not permitted."""
    for base_url in (settings.anthropic_base_url, settings.openai_base_url):
        check(urlsplit(base_url).hostname or "", settings)
    trust = ssl.create_default_context(cafile=str(settings.ca_bundle) if settings.ca_bundle else None)
    # No limit over all doors: each has its own, and one must not use up the others' connections.
    connector = aiohttp.TCPConnector(resolver=CheckedResolver(settings.allow_networks), ssl=trust, limit=0, ttl_dns_cache=30)
    # A stream may run for long: the bound is on silence, not on the whole.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=settings.upstream_idle_seconds)
    return aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False, auto_decompress=False)
