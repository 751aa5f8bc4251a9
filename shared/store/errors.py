"""What can go wrong between a service and its database, told apart by whether trying again can help."""

import asyncpg


class StoreError(Exception):
    """The database could not do it."""

    retryable = False


class StoreUnavailable(StoreError):
    """The database cannot be reached, or the connection broke. If it broke in a commit, nobody knows whether that commit happened."""

    retryable = True


class StoreConflict(StoreError):
    """The transaction was rolled back because of another one (deadlock, serialization); the same transaction may succeed now."""

    retryable = True


class OutboxFull(StoreUnavailable):
    """So many messages wait to go out that no more are taken; whoever asked may ask again once they have."""


class OutboxStands(StoreError):
    """Messages wait in the outbox and do not go out."""


class MigrationsRefused(StoreError):
    """The migrations on disk and those the database has are not one history."""


_CONFLICTS = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
_BROKEN = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)
_GONE = ("connection is closed", "connection was closed", "pool is clos")


def translate(error: BaseException) -> StoreError | None:
    """The retryable error that a driver's error means, or None where it is the caller's own (a constraint, a syntax error)."""
    if isinstance(error, _CONFLICTS):
        return StoreConflict(f"the transaction was rolled back: {type(error).__name__}")
    gone = isinstance(error, asyncpg.InterfaceError) and any(words in str(error) for words in _GONE)
    if gone or isinstance(error, _BROKEN):
        return StoreUnavailable(f"the database is unavailable: {type(error).__name__}")
    return None


def translate_working(error: BaseException) -> StoreError | None:
    """As `translate`, for the work in a transaction: a statement that takes too long says that the database does not answer."""
    if isinstance(error, TimeoutError):
        return StoreUnavailable("the database is unavailable: a statement took too long")
    return translate(error)


def translate_connecting(error: BaseException) -> StoreError | None:
    """As `translate`, for an attempt to connect: the socket's errors, a timeout and a password just being changed count too."""
    if isinstance(error, (OSError, TimeoutError, asyncpg.InvalidPasswordError)):
        return StoreUnavailable(f"the database cannot be reached: {type(error).__name__}")
    return translate(error)
