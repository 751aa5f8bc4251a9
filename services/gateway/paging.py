"""Cursor paging, newest first: a cursor names the last row seen, so that rows that come or go shift nothing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from services.gateway.errors import invalid
from shared.events.ids import is_uuid

MAX_LIMIT: Final = 100
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR: Final = re.compile(r"([0-9]{1,17})\.([0-9a-f-]{36})")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place right behind one row."""

    created_at: datetime
    id: str

    def encode(self) -> str:
        """The cursor as clients carry it: opaque to them, and exact to the microsecond."""
        return f"{(self.created_at - _EPOCH) // timedelta(microseconds=1)}.{self.id}"


def decode(text: str) -> Cursor:
    """A cursor from a client. Raises Invalid."""
    parts = _CURSOR.fullmatch(text)
    if parts is None or not is_uuid(parts[2]):
        raise invalid("query.cursor", "cursor", "is not a cursor of this API; take next_cursor of the page before")
    return Cursor(_EPOCH + timedelta(microseconds=int(parts[1])), parts[2])


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    items: list[T]
    next_cursor: Annotated[str | None, Field(description="Pass as `cursor` for the next page; null at the end.")]


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list is wanted: up to `limit` rows behind `cursor`."""

    limit: int
    cursor: Cursor | None

    @property
    def created_at(self) -> datetime | None:
        """Of the last row seen."""
        return self.cursor and self.cursor.created_at

    @property
    def id(self) -> str | None:
        """Of the last row seen."""
        return self.cursor and self.cursor.id

    @property
    def fetch(self) -> int:
        """Rows to read: one more than to show, to know whether there is a next page."""
        return self.limit + 1

    def next_cursor(self, rows: Sequence[tuple[datetime, str]]) -> str | None:
        """The cursor behind the last row to show, when `rows` holds one more than that."""
        return Cursor(*rows[self.limit - 1]).encode() if len(rows) > self.limit else None


def window(limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50, cursor: Annotated[str | None, Query(max_length=64)] = None) -> Window:
    """The query parameters of every list."""
    return Window(limit, decode(cursor) if cursor is not None else None)
