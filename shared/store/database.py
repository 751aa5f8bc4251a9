"""The connection pool of a service, and the one way to open a transaction.

Nothing is retried here: who called decides, by `StoreError.retryable`, with the message that asked for the work still in hand.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
import structlog

from shared.secrets.files import read_private
from shared.store.errors import StoreError, StoreUnavailable, translate_connecting, translate_working
from shared.store.settings import StoreSettings

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    Connection = Any

log = structlog.get_logger(__name__)

Claims = Mapping[str, Any]
"""The verified claims of the caller's token, as row-level security sees them."""

_ACQUIRE_SECONDS = 10
_RETRY_SECONDS = 0.25


class Database:
    """A service's own database role: `open`, then `transaction()`; `connect()` for a session of its own."""

    def __init__(self, settings: StoreSettings, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self.settings = settings
        self.pool = pool

    @classmethod
    async def open(cls, settings: StoreSettings) -> "Database":
        """Connected once this returns; waits `connect_seconds` for a server that is starting. Raises StoreUnavailable."""
        try:
            async with asyncio.timeout(settings.connect_seconds):
                while True:
                    try:
                        return cls(settings, await _pool(settings))
                    except StoreUnavailable as error:
                        log.warning("database_unavailable", reason=str(error))
                        await asyncio.sleep(_RETRY_SECONDS)
        except TimeoutError as error:
            raise StoreUnavailable(f"no database within {settings.connect_seconds} seconds") from error

    async def close(self) -> None:
        """Close the pool; transactions that are open have ten seconds."""
        try:
            async with asyncio.timeout(10):
                await self.pool.close()
        except (TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            self.pool.terminate()

    @asynccontextmanager
    async def transaction(self, claims: Claims | None = None) -> AsyncGenerator[Connection]:
        """One transaction, committed when the block ends, rolled back when it raises.

        `claims` hold for this transaction alone: a setting of the session would reach whoever gets the connection next.
        Raises StoreUnavailable and StoreConflict for the database's failures; the block's own errors pass unchanged, but for
        TimeoutError: asyncpg says so too when a statement took longer than `command_seconds`.
        """
        connection = await self._acquire()
        try:
            with _translated(translate_working):
                async with connection.transaction():
                    if claims is not None:
                        await connection.execute("select set_config('request.jwt.claims', $1, true)", json.dumps(dict(claims)))
                    yield connection
        finally:
            await self._release(connection)

    async def ready(self) -> None:
        """Raises StoreUnavailable when the database does not answer."""
        connection = await self._acquire()
        try:
            with _translated(translate_working):
                await connection.execute("select 1")
        finally:
            await self._release(connection)

    async def connect(self, **server_settings: str) -> "asyncpg.Connection[asyncpg.Record]":
        """A session beside the pool, for what must not share one (LISTEN, advisory locks). The caller closes it."""
        with _translated(translate_connecting):
            return await asyncpg.connect(self.settings.url, server_settings=server_settings, **_options(self.settings))

    async def _acquire(self) -> "PoolConnectionProxy[asyncpg.Record]":
        with _translated(translate_connecting):
            return await self.pool.acquire(timeout=_ACQUIRE_SECONDS)

    async def _release(self, connection: "PoolConnectionProxy[asyncpg.Record]") -> None:
        try:
            await self.pool.release(connection, timeout=_ACQUIRE_SECONDS)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            # The transaction is over by now, and asyncpg has thrown the connection away: nothing is lost but the connection.
            log.warning("connection_lost", reason=type(error).__name__)


class _translated:  # noqa: N801 - reads as what it does
    """Turns the driver's errors into ours."""

    def __init__(self, translation: Callable[[BaseException], StoreError | None]) -> None:
        self._translation = translation

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if error is not None and (ours := self._translation(error)) is not None:
            raise ours from error


async def _pool(settings: StoreSettings) -> "asyncpg.Pool[asyncpg.Record]":
    with _translated(translate_connecting):
        return await asyncpg.create_pool(settings.url, min_size=1, max_size=settings.pool_size, **_options(settings))


def _options(settings: StoreSettings) -> dict[str, Any]:
    return {
        "password": lambda: read_private(settings.password_file).decode().strip(),  # at each connection, so that it can be changed
        "timeout": 10,
        "command_timeout": settings.command_seconds,
    }
