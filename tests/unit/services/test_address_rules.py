"""Two services connect to addresses that people or names decide. They share no code, so this holds their judgement together."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from hypothesis import example, given
from hypothesis import strategies as some

from services.git import resolution
from services.runner.egress import connections

_V4 = some.integers(0, 2**32 - 1)
_BEFORE_V4 = (0, 0xFFFF << 32, 0x64_FF9B << 96, 0x64_FF9B_0001 << 80, 0xFEC0 << 112, 0xFF02 << 112)
_OPENED = ("127.0.0.0/8", "10.0.0.0/8", "::1/128", "fd00::/8", "0.0.0.0/0", "::/0")


def _with_prefix(prefix: int, inner: int) -> IPv6Address:
    return IPv6Address(prefix | inner)


def _six_to_four(inner: int) -> IPv6Address:
    return IPv6Address(0x2002 << 112 | inner << 80)


def _teredo(server: int, client: int) -> IPv6Address:
    return IPv6Address(0x2001_0000 << 96 | server << 64 | client)


addresses = some.one_of(
    some.ip_addresses(),
    some.builds(_with_prefix, some.sampled_from(_BEFORE_V4), _V4),
    some.builds(_six_to_four, _V4),
    some.builds(_teredo, _V4, _V4),
)
networks = some.lists(some.sampled_from([ip_network(text) for text in _OPENED]), max_size=2)


@given(addresses, networks)
@example(IPv6Address("::127.0.0.1"), [])
@example(IPv4Address("192.88.99.1"), [])
def test_both_services_say_the_same_of_an_address(address: IPv4Address | IPv6Address, opened: list[IPv4Network | IPv6Network]) -> None:
    assert connections.permitted(str(address), opened) == resolution.is_allowed(address, opened)
