"""Asking the registries: as nobody, with headers of our own, at checked addresses, along redirects only to places of the operator's."""

import asyncio
import contextlib
import re
import secrets
import ssl
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import aiohttp
from yarl import URL

from services.runner.egress.connections import CheckedResolver, check
from services.runner.egress.packages.cache import Cache
from services.runner.egress.packages.settings import PackageSettings, leads_to, placed
from services.runner.egress.packages.wanted import Shelf
from services.runner.egress.settings import EgressSettings
from services.runner.egress.vendors.vendor import Refused
from shared.events.values import Ecosystem

_MAX_REDIRECTS = 4
_MIB = 1024 * 1024
_MISSING = (404, 410)
_REDIRECTS = (301, 302, 303, 307, 308)
_OK = 200
_LOCATION = re.compile(r"[!$-;=?-Z_a-z~]{1,4000}")
"""What may stand in a URL (RFC 3986 §2), without brackets, quotes, backslashes and the fragment's mark."""
_READING_AT_ONCE = 2
_SEAL_BYTES = 32


T = TypeVar("T")


class Missing(Exception):
    """The registry has no such thing."""


class Failed(Exception):
    """The registry does not answer as one."""


class Registries:
    """Every registry there is, for all doors: the connections and the files that are kept."""

    def __init__(self, settings: PackageSettings, egress: EgressSettings, client: aiohttp.ClientSession, cache: Cache, seal: bytes) -> None:
        self.settings = settings
        self._egress = egress
        self.cache = cache
        self._client = client
        self._seal = seal
        self._reading = asyncio.Semaphore(_READING_AT_ONCE)

    def shelf(self, ecosystem: Ecosystem) -> Shelf:
        """Raises Refused where the operator names no registry for it."""
        if not self.settings.addresses(ecosystem):
            raise Refused("ecosystem_unavailable")
        return Shelf(ecosystem, self.settings, self._seal)

    @contextlib.asynccontextmanager
    async def asked(self, method: str, url: str, accept: str, places: tuple[str, ...]) -> AsyncGenerator[aiohttp.ClientResponse]:
        """The registry's answer, plain and whole. Raises Missing, Failed, and Refused where it leads elsewhere."""
        headers = {"accept": accept, "accept-encoding": "identity", "user-agent": "async-code-egress"}
        try:
            async with asyncio.timeout(self.settings.answer_seconds):
                for _ in range(_MAX_REDIRECTS + 1):
                    if placed(url, places) is None:
                        raise Refused("redirect_denied", leads_to(url))
                    check(urlsplit(url).hostname or "", self._egress)
                    async with self._client.request(method, URL(url, encoded=True), headers=headers, allow_redirects=False) as answer:
                        if answer.status in _REDIRECTS:
                            url = _followed(url, answer.headers.get("location", ""), places)
                            continue
                        _judge(answer)
                        yield answer
                        return
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Failed(type(error).__name__) from error
        raise Refused("redirect_denied")

    async def index(self, url: str, accept: str, places: tuple[str, ...]) -> tuple[bytes, str]:
        """A body that is held in memory, and its content type. Raises Missing, Failed, Refused."""
        async with self.asked("GET", url, accept, places) as answer:
            body = bytearray()
            async for piece in answer.content.iter_any():
                body += piece
                if len(body) > self.settings.index_mib * _MIB:
                    raise Refused("index_too_large")
            return bytes(body), answer.content_type

    async def understood(self, read: Callable[[], T]) -> T:
        """What `read` makes of an index, in a thread. Few at once for all doors: an index may need many times its size while it is read."""
        async with self._reading:
            try:
                return await asyncio.to_thread(read)
            except (ValueError, RecursionError) as error:
                raise Failed("not_an_index") from error


def _followed(url: str, location: str, places: tuple[str, ...]) -> str:
    """Where a redirect leads, written anew so that nobody reads it otherwise. Raises Refused, also for a step from TLS to none."""
    if not _LOCATION.fullmatch(location):
        raise Refused("redirect_denied")
    try:
        target = urljoin(url, location)
        place = placed(target, places)
    except ValueError as error:
        raise Refused("redirect_denied") from error
    if place is None or (urlsplit(url).scheme == "https" and not places[place].startswith("https:")):
        raise Refused("redirect_denied", leads_to(target))
    parts = urlsplit(target)
    return places[place] + (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _judge(answer: aiohttp.ClientResponse) -> None:
    """A body that comes compressed all the same is not opened: what is small on the way may be huge behind it."""
    if answer.status in _MISSING:
        raise Missing
    if answer.status != _OK:
        raise Failed(str(answer.status))
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        raise Failed("content-encoding")


@contextlib.asynccontextmanager
async def registries(settings: PackageSettings, egress: EgressSettings) -> AsyncGenerator[Registries]:
    """Until the context ends. A registry that may not be reached is no reason for other runs to wait: it fails when it is asked."""
    trust = ssl.create_default_context(cafile=str(egress.ca_bundle) if egress.ca_bundle else None)
    connector = aiohttp.TCPConnector(resolver=CheckedResolver(egress.allow_networks), ssl=trust, limit=0, ttl_dns_cache=30)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=settings.idle_seconds)
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, trust_env=False, auto_decompress=False, cookie_jar=jar
    ) as client:
        directory = settings.cache_dir or egress.state_dir / "packages"
        yield Registries(settings, egress, client, Cache(directory, settings.cache_mib * _MIB), _seal(egress.state_dir / "packages-seal"))


def _seal(path: Path) -> bytes:
    """Kept over a restart: a client that read an index before it still gets the files."""
    with contextlib.suppress(FileNotFoundError):
        kept = path.read_bytes()
        if len(kept) == _SEAL_BYTES:  # what a full disk cut short would be guessed
            return kept
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_bytes(secrets.token_bytes(_SEAL_BYTES))
    draft.replace(path)
    return path.read_bytes()
