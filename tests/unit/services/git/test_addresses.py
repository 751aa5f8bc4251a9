import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.git import addresses
from services.git.errors import AddressRefused

EVERYTHING = frozenset({"http", "file"})


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://example.org/a/b.git", "https://example.org/a/b.git"),
        ("HTTPS://Example.ORG:443/a", "https://example.org/a"),
        ("https://example.org:8443/a", "https://example.org:8443/a"),
        ("https://[2001:DB8::1]/a", "https://[2001:db8::1]/a"),
        ("https://192.0.2.1/a", "https://192.0.2.1/a"),
        ("http://git:3000/a", "http://git:3000/a"),
        ("https://example.org/gruppe/%C3%BC.git", "https://example.org/gruppe/%C3%BC.git"),
        ("file:///srv/a.git", "file:///srv/a.git"),
        ("file://localhost/srv/a.git", "file:///srv/a.git"),
    ],
)
def test_addresses_are_read_and_spelled_one_way(text: str, url: str) -> None:
    address = addresses.parse(text, EVERYTHING)
    assert address.url == url
    assert addresses.parse(address.url, EVERYTHING) == address


@pytest.mark.parametrize("text", ["http://example.org/a", "file:///srv/a.git"])
def test_http_and_file_need_the_operator(text: str) -> None:
    with pytest.raises(AddressRefused, match="transport"):
        addresses.parse(text)
    assert addresses.parse(text, EVERYTHING).url == text


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "empty"),
        ("-uupload-pack=touch x", "blanks"),
        ("--upload-pack=/x", "dash"),
        ("ext::sh -c x", "blanks"),
        ("ext::sh", "remote helpers"),
        ("fd::17/foo", "remote helpers"),
        ("ssh://example.org/a", "transport"),
        ("git://example.org/a", "transport"),
        ("ftp://example.org/a", "transport"),
        ("git@example.org:a/b.git", "form"),
        ("/srv/a.git", "form"),
        ("https:/example.org/a", "form"),
        ("https://user@example.org/a", "user name"),
        ("https://user:token@example.org/a", "user name"),
        ("https://example.org\n/a", "control"),
        ("https://example.org/a\x00", "control"),
        ("https://example.org/a b", "blanks"),
        ("https://exämple.org/a", "ASCII"),
        ("https://example.org:0/a", "port"),
        ("https://example.org:65536/a", "port"),
        ("https://example.org:/a", "host"),
        ("https:///a", "host"),
        ("https://-oProxy.org/a", "host"),
        ("https://example..org/a", "host"),
        ("https://example.org./a", "host"),
        ("https://2130706433/a", "plain IPv4"),
        ("https://0x7f.1/a", "plain IPv4"),
        ("https://0177.0.0.1/a", "plain IPv4"),
        ("https://127.1/a", "plain IPv4"),
        ("https://[::1%25eth0]/a", "host"),
        ("https://[::g]/a", "host"),
        ("https://example.org", "path"),
        ("https://example.org/", "path"),
        ("https://example.org/a?b=c", "path"),
        ("https://example.org/a#b", "path"),
        ("https://example.org/a\\b", "path"),
        ("https://example.org/a'b", "path"),
        ("https://example.org/a%0aHost:b", "control"),
        ("https://example.org/%27", "quotes"),
        ("https://example.org/a/../b", r"\.\."),
        ("https://example.org/a/%2e%2e/b", r"\.\."),
        ("https://example.org/a%zz", "percent"),
        ("https://example.org/" + "a" * 3000, "longer"),
        ("file://example.org/srv/a", "names no host"),
        ("file://", "path"),
    ],
)
def test_what_is_not_understood_is_refused(text: str, rule: str) -> None:
    with pytest.raises(AddressRefused, match=rule) as caught:
        addresses.parse(text, EVERYTHING)
    assert caught.value.code == "address_refused"
    assert text == "" or text not in str(caught.value)


@given(st.text(max_size=60) | st.from_regex(r"(https?|file|ext|ssh):{1,2}/{0,3}[ -~]{0,40}", fullmatch=True))
def test_whatever_is_accepted_is_plain(text: str) -> None:
    try:
        address = addresses.parse(text, EVERYTHING)
    except AddressRefused:
        return
    assert address.url.isascii()
    assert address.url.isprintable()
    assert not set(address.url) & set(" '\"\\?#|;&$`<>(){}\n\t")
    assert not address.url.startswith("-")
    assert "@" not in address.url.split("/")[2]
    assert addresses.parse(address.url, EVERYTHING) == address


def test_the_digest_names_the_address_and_not_its_spelling() -> None:
    assert addresses.parse("https://EXAMPLE.org:443/a").digest == addresses.parse("https://example.org/a").digest
    assert addresses.parse("https://example.org/a").digest != addresses.parse("https://example.org/b").digest
