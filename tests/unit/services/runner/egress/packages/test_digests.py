"""What an index says of a file's content is believed only where it is a digest, and then in its strongest form."""

import base64
import hashlib

import pytest

from services.runner.egress.packages.digests import Digest

SHA512, SHA1 = (hashlib.new(name, b"x", usedforsecurity=False) for name in ("sha512", "sha1"))


def sri(name: str, value: bytes) -> str:
    return f"{name}-{base64.b64encode(value).decode()}"


def test_the_strongest_of_several_counts() -> None:
    said = f"{sri('sha1', SHA1.digest())}  {sri('sha512', SHA512.digest())}?opaque md5-x {sri('sha256', b'short')}"
    assert Digest.integrity(said) == Digest("sha512", SHA512.hexdigest())


@pytest.mark.parametrize("said", [None, 1, "", "sha512-", "sha512-!!!", "md5-" + "A" * 24, sri("sha512", SHA1.digest()), "sha512"])
def test_what_is_no_digest_is_none(said: object) -> None:
    assert Digest.integrity(said) is None
    assert Digest.hexadecimal("sha256", said) is None


def test_a_link_carries_it() -> None:
    digest = Digest("sha512", SHA512.hexdigest())
    assert Digest.read(str(digest)) == digest
    assert [Digest.read(said) for said in ("-", "sha256:", "md5:" + "0" * 32, "sha256:" + "A" * 64)] == [None] * 4
