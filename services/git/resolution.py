"""Finds out where an address leads, judges it, and pins it: what was judged is what git connects to.

Never connects anywhere itself. The rule against reaching inner services (SSRF): resolve once, every address must be public after
unwrapping addresses that carry another one, unless the operator allows its network.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from urllib.parse import unquote

from services.git.addresses import RepositoryAddress
from services.git.errors import AddressRefused, Unreachable

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))  # RFC 6052 §2.1, RFC 8215
_COMPATIBLE = IPv6Network("::/96")  # RFC 4291 §2.5.5.1: deprecated, yet is_global of Python 3.11 calls ::127.0.0.1 public
_NOT_COMPATIBLE = frozenset({IPv6Address("::"), IPv6Address("::1")})  # RFC 4291 §2.5.2, §2.5.3: addresses of their own
_RELAY = IPv4Network("192.88.99.0/24")  # RFC 7526: 6to4 relays, withdrawn
_SITE_LOCAL = IPv6Network("fec0::/10")  # RFC 3879: withdrawn, yet is_global of Python 3.11 calls it public


@dataclass(frozen=True, slots=True)
class Destination:
    """A judged address. `pin` is the value of git's `http.curloptResolve`; `trusted_directory` says that the operator named it."""

    address: RepositoryAddress
    pin: str | None = None
    trusted_directory: bool = False


@dataclass(frozen=True, slots=True)
class Reach:
    """Where the operator lets this service go beyond public addresses."""

    networks: tuple[Network, ...] = ()
    directories: tuple[Path, ...] = ()
    """`file` repositories lie below these; empty: anywhere but in the service's own state."""
    own_state: tuple[Path, ...] = ()
    """The service's own directories: another owner's mirror must not be read as a repository."""


def carried(address: Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that an IPv6 address carries: v4-mapped, v4-compatible, 6to4, NAT64 and Teredo (server and client)."""
    if isinstance(address, IPv4Address):
        return ()
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    compatible = address in _COMPATIBLE and address not in _NOT_COMPATIBLE
    if compatible or any(address in network for network in _NAT64):
        return (IPv4Address(int(address) & 0xFFFF_FFFF),)
    return ()


def is_allowed(address: Address, networks: Collection[Network]) -> bool:
    """Whether git may connect to `address`."""
    inner = carried(address)
    if inner:
        return all(is_allowed(each, networks) for each in inner)
    if any(address in network for network in networks):
        return True
    if address in _RELAY or address in _SITE_LOCAL:
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def judge(host: str, addresses: Sequence[Address], networks: Collection[Network]) -> None:
    """Raise AddressRefused unless every one of `addresses` is allowed: one inner address among public ones is an attack."""
    if not all(is_allowed(address, networks) for address in addresses):
        raise AddressRefused(f"{host} leads into a network this deployment does not reach")


async def resolve(address: RepositoryAddress, reach: Reach) -> Destination:
    """Where `address` leads. Raises AddressRefused, or Unreachable when the name does not resolve."""
    if address.protocol == "file":
        return await asyncio.to_thread(_judge_directory, address, reach)
    addresses = await _look_up(address.host, address.port)
    judge(address.host, addresses, reach.networks)
    spelled = ",".join(f"[{found}]" if isinstance(found, IPv6Address) else str(found) for found in addresses)
    return Destination(address, pin=None if _is_literal(address.host) else f"{address.host}:{address.port}:{spelled}")


async def _look_up(host: str, port: int) -> list[Address]:
    if _is_literal(host):
        return [ipaddress.ip_address(host)]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unreachable(f"{host} does not resolve") from error
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _judge_directory(address: RepositoryAddress, reach: Reach) -> Destination:
    """Links are followed first: what counts is where the directory really lies."""
    place = Path(unquote(address.path)).resolve()
    own = tuple(directory.resolve() for directory in reach.own_state)
    if any(place.is_relative_to(directory) or directory.is_relative_to(place) for directory in own):
        raise AddressRefused("a file address must not lead into the service's own state")
    trusted = any(place.is_relative_to(directory.resolve()) for directory in reach.directories)
    if reach.directories and not trusted:
        raise AddressRefused("a file address must lie in a directory the operator named")
    return Destination(address, trusted_directory=trusted)
