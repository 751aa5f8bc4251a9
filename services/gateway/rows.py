"""Ids on their way into SQL."""

from typing import overload


@overload
def uuid(identifier: str) -> str: ...
@overload
def uuid(identifier: None) -> None: ...
def uuid(identifier: str | None) -> str | None:
    """An id as asyncpg takes it for a `uuid`: it refuses subclasses of str, which our ids are (run with 0.32)."""
    return None if identifier is None else str(identifier)
