import ipaddress
from pathlib import Path

import pytest

from services.git import addresses, resolution
from services.git.errors import AddressRefused
from services.git.resolution import Reach


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0",  # noqa: S104 - refused, not listened on
        "127.0.0.1", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "240.0.0.1",
        "255.255.255.255", "192.0.0.1", "198.18.0.1", "192.88.99.1", "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a00:1::1", "2001:0:7f00:1::",
        "2001:0:0808:0808::f5ff:fffe", "fe80::1", "fc00::1", "fec0::1", "ff02::1", "100::1", "2001:db8::1",
    ],
)  # fmt: skip
def test_inner_addresses_are_refused_however_they_are_wrapped(text: str) -> None:
    assert not resolution.is_allowed(ipaddress.ip_address(text), ())


@pytest.mark.parametrize("text", ["8.8.8.8", "140.82.121.4", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"])
def test_public_addresses_are_allowed(text: str) -> None:
    assert resolution.is_allowed(ipaddress.ip_address(text), ())


def test_the_operator_opens_a_network() -> None:
    opened = (ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fd00::/8"))
    assert resolution.is_allowed(ipaddress.ip_address("::1"), (ipaddress.ip_network("::1/128"),))
    for text in ("10.1.2.3", "fd12::1", "::ffff:10.1.2.3"):
        assert resolution.is_allowed(ipaddress.ip_address(text), opened)
    for text in ("10.2.0.1", "127.0.0.1", "::1"):
        assert not resolution.is_allowed(ipaddress.ip_address(text), opened)


def test_one_inner_address_among_public_ones_refuses_all() -> None:
    found = [ipaddress.ip_address("8.8.8.8"), ipaddress.ip_address("10.0.0.1")]
    with pytest.raises(AddressRefused):
        resolution.judge("example.org", found, ())


async def test_a_literal_needs_no_pin_and_no_name_service() -> None:
    found = await resolution.resolve(addresses.parse("https://8.8.8.8/a"), Reach())
    assert found.pin is None


async def test_a_name_is_pinned_to_every_address_it_has() -> None:
    address = addresses.parse("https://localhost:8443/a")
    with pytest.raises(AddressRefused):
        await resolution.resolve(address, Reach())
    opened = Reach(networks=(ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")))
    assert (await resolution.resolve(address, opened)).pin in {
        "localhost:8443:127.0.0.1", "localhost:8443:[::1]", "localhost:8443:[::1],127.0.0.1", "localhost:8443:127.0.0.1,[::1]",
    }  # fmt: skip


async def test_a_file_address_never_leads_into_our_own_state(tmp_path: Path) -> None:
    own, link = tmp_path / "cache", tmp_path / "link"
    own.mkdir()
    link.symlink_to(own)
    for path in (own / "mirrors/x.git", link / "x.git", tmp_path):
        with pytest.raises(AddressRefused):
            await resolution.resolve(addresses.parse(f"file://{path}", {"file"}), Reach(own_state=(own,)))
    outside = addresses.parse(f"file://{tmp_path}/other.git", {"file"})
    assert not (await resolution.resolve(outside, Reach(own_state=(own,)))).trusted_directory


async def test_file_addresses_lie_in_the_directories_the_operator_named(tmp_path: Path) -> None:
    reach = Reach(directories=(tmp_path / "open",))
    inside = await resolution.resolve(addresses.parse(f"file://{tmp_path}/open/a.git", {"file"}), reach)
    assert inside.trusted_directory
    with pytest.raises(AddressRefused):
        await resolution.resolve(addresses.parse(f"file://{tmp_path}/other/a.git", {"file"}), reach)
