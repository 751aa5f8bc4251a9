"""The auth server's published signing keys: fetched, cached, and fetched again for an unknown key id, but not as often as a stranger likes.

It must never let tokens set its pace (a flood of made-up key ids forces one fetch per `refresh_seconds`), follow a redirect, or take a
key that could sign: symmetric and private ones are dropped.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, cast

import httpx
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key

from services.gateway.errors import Unavailable

MAX_DOCUMENT_BYTES: Final = 262_144
_ASYMMETRIC: Final = frozenset({"EC", "RSA"})

log = structlog.get_logger(__name__)


class KeySource:
    """The keys by their id."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        *,
        max_age_seconds: float,
        refresh_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._url = url
        self._max_age = max_age_seconds
        self._refresh = refresh_seconds
        self._clock = clock
        self._keys: Mapping[str, Key] = MappingProxyType({})
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._lock = asyncio.Lock()

    async def key(self, key_id: str) -> Key | None:
        """The key of this id, or None where the server publishes none.

        Known keys outlive an auth server that does not answer. Raises Unavailable when no keys were ever fetched.
        """
        if self._fresh() and key_id in self._keys:
            return self._keys[key_id]
        async with self._lock:
            if (not self._fresh() or key_id not in self._keys) and self._may_try():
                await self._fetch()
        if self._fetched_at is None:
            raise Unavailable("The auth server's keys cannot be read just now.")
        return self._keys.get(key_id)

    async def ready(self) -> None:
        """Raises Unavailable when no token could be verified."""
        if not self._fresh():
            async with self._lock:
                if not self._fresh() and self._may_try():
                    await self._fetch()
        if self._fetched_at is None:
            raise Unavailable("no signing keys")

    def _fresh(self) -> bool:
        return self._fetched_at is not None and self._clock() - self._fetched_at < self._max_age

    def _may_try(self) -> bool:
        """The first fetch waits for nothing but a short pause; every later one for `refresh_seconds`."""
        pause = self._refresh if self._fetched_at is not None else min(self._refresh, 1.0)
        return self._tried_at is None or self._clock() - self._tried_at >= pause

    async def _fetch(self) -> None:
        self._tried_at = self._clock()
        try:
            keys = published_keys(await self._download())
        except (httpx.HTTPError, ValueError, RecursionError) as error:
            log.warning("jwks_unreadable", error=type(error).__name__)
            return
        self._keys = MappingProxyType(keys)
        self._fetched_at = self._clock()
        log.info("jwks_fetched", keys=len(self._keys))

    async def _download(self) -> Any:
        async with self._client.stream("GET", self._url) as response:
            response.raise_for_status()
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_DOCUMENT_BYTES:
                    raise ValueError("the JWKS is too large")
        return httpx.Response(200, content=bytes(body)).json()


def published_keys(document: Any) -> dict[str, Key]:
    """The public signing keys of a JWKS, by id. Raises ValueError when it is no JWKS at all; a key we cannot use is left out."""
    entries = cast("dict[str, object]", document).get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("no JWKS")  # noqa: TRY004 - it came from outside: a value, not a type of ours
    keys: dict[str, Key] = {}
    for entry in cast("list[object]", entries):
        if isinstance(entry, dict):
            _take(keys, cast("dict[str, Any]", entry))
    return keys


def _take(keys: dict[str, Key], entry: dict[str, Any]) -> None:
    key_id = entry.get("kid")
    if not isinstance(key_id, str) or not key_id or entry.get("kty") not in _ASYMMETRIC or "d" in entry:
        return
    try:
        keys[key_id] = JWKRegistry.import_key(entry)
    except (JoseError, ValueError, TypeError, KeyError):
        log.warning("jwk_unreadable", key_type=str(entry.get("kty")))
