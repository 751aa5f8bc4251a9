"""Where the egress process may connect to."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from services.runner.egress.connections import AddressRefused, admit, permitted
from services.runner.egress.settings import EgressSettings

LOCAL = (ip_network("127.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_the_public_internet_is_open(address: str) -> None:
    assert permitted(address, ())


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "192.168.1.1",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 - refused, not bound
        "::1",
        "fe80::1",
        "fd00::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:0:0:0:0:80ff:fffe",
        "2001:0:7f00:1::f7f7:f7f7",  # Teredo: the server's address, with a public client
        "::127.0.0.1",
        "::",
        "fec0::1",
        "224.0.0.1",
        "ff0e::1",
        "240.0.0.1",
        "192.88.99.1",
        "64:ff9b:1::a00:1",
        "fe80::1%eth0",
    ],
)
def test_everything_else_is_closed_however_it_is_written(address: str) -> None:
    assert not permitted(address, ())


def test_the_operator_opens_a_network() -> None:
    assert permitted("127.0.0.1", LOCAL)
    assert permitted("::ffff:127.0.0.1", LOCAL)
    assert permitted("fd00::1", LOCAL)
    assert permitted("::1", (ip_network("::1/128"),))
    assert not permitted("10.0.0.1", LOCAL)


SETTINGS = EgressSettings(
    keyring_file=Path("k"),
    control_socket=Path("c"),
    sockets_dir=Path("s"),
    state_dir=Path("t"),
    allow_networks=(ip_network("10.1.0.0/16"),),
)


@pytest.mark.parametrize(
    "base_url", ["https://models.example/v", "https://8.8.8.8:8443", "https://10.1.2.3", "http://10.1.2.3:8000", "https://localhost"]
)
def test_a_stored_address_is_admitted_where_it_may_lead(base_url: str) -> None:
    """What a name leads to is judged when it is connected to."""
    admit(base_url, SETTINGS)


@pytest.mark.parametrize(
    "base_url",
    [
        "http://models.example",  # in the clear, and by a name
        "http://8.8.8.8",
        "https://10.2.0.1",
        "https://169.254.169.254",
        "http://[::ffff:10.2.0.1]",
        "https://[::1]:8000",
        "http://0x0a010203",
    ],
)
def test_a_stored_address_is_refused_where_it_may_not(base_url: str) -> None:
    with pytest.raises(AddressRefused):
        admit(base_url, SETTINGS)
