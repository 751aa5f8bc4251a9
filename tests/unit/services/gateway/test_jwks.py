import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from services.gateway.errors import Unavailable
from services.gateway.jwks import KeySource, published_keys

EC = ECKey.generate_key("P-256", {"kid": "ec"})


def document(*keys: dict[str, Any]) -> dict[str, Any]:
    return {"keys": list(keys)}


@dataclass
class AuthServer:
    """A fake of the auth server's one page."""

    content: Any = field(default_factory=lambda: document(dict(EC.as_dict(private=False))))
    status: int = 200
    asked: int = 0
    now: float = 1000.0

    def answer(self, _request: httpx.Request) -> httpx.Response:
        self.asked += 1
        return httpx.Response(self.status, content=json.dumps(self.content))

    def source(self) -> KeySource:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self.answer))
        clock: Callable[[], float] = lambda: self.now  # noqa: E731
        return KeySource(client, "http://auth/jwks", max_age_seconds=600, refresh_seconds=10, clock=clock)


async def test_known_keys_cost_one_fetch() -> None:
    server = AuthServer()
    source = server.source()
    for _ in range(5):
        assert await source.key("ec") is not None
    assert server.asked == 1


async def test_made_up_key_ids_do_not_set_the_pace() -> None:
    server = AuthServer()
    source = server.source()
    await source.key("ec")
    for number in range(50):
        assert await source.key(f"made-up-{number}") is None
    assert server.asked == 1
    server.now += 11
    for number in range(50):
        assert await source.key(f"made-up-{number}") is None
    assert server.asked == 2


async def test_a_new_key_is_found_and_an_old_one_goes() -> None:
    server = AuthServer()
    source = server.source()
    await source.key("ec")
    server.content = document({**ECKey.generate_key("P-256").as_dict(private=False), "kid": "new"})
    server.now += 11
    assert await source.key("new") is not None
    assert await source.key("ec") is None


async def test_known_keys_outlive_the_auth_server() -> None:
    server = AuthServer()
    source = server.source()
    await source.key("ec")
    server.status = 500
    server.now += 10_000
    assert await source.key("ec") is not None


async def test_without_any_keys_nobody_can_be_judged() -> None:
    server = AuthServer(status=503)
    source = server.source()
    with pytest.raises(Unavailable):
        await source.key("ec")
    with pytest.raises(Unavailable):
        await source.ready()
    server.status = 200
    server.now += 2
    await source.ready()


@pytest.mark.parametrize("content", [[], {}, {"keys": 1}, "x", None])
async def test_what_is_no_jwks_changes_nothing(content: object) -> None:
    server = AuthServer(content=content)
    with pytest.raises(Unavailable):
        await server.source().key("ec")


async def test_a_document_that_never_ends_is_dropped() -> None:
    server = AuthServer(content={"keys": [], "x": "y" * 300_000})
    with pytest.raises(Unavailable):
        await server.source().key("ec")


def test_keys_that_could_sign_are_left_out() -> None:
    oct_key = {**OctKey.generate_key(256).as_dict(private=True), "kid": "oct"}
    private = {**RSAKey.generate_key(2048).as_dict(private=True), "kid": "private"}
    nameless = dict(ECKey.generate_key("P-256").as_dict(private=False))
    nameless.pop("kid", None)
    broken = {"kty": "EC", "crv": "P-256", "kid": "broken", "x": "!", "y": "!"}
    found = published_keys(document(oct_key, private, nameless, broken, {"kty": 7}, dict(EC.as_dict(private=False))))
    assert list(found) == ["ec"]
