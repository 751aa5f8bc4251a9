"""Deletes what has outlived its use: the one loop of a service over the tables that it keeps.

What may go, and when, is a `Rule`: a value that the service makes of its settings. The loop decides nothing. It deletes in small batches,
each a transaction of its own, so that nobody waits for it; of several replicas one works at a time.
"""

import asyncio
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog

from shared.store.database import Connection, Database
from shared.store.errors import StoreError

log = structlog.get_logger(__name__)

BATCH: Final = 500
"""Rows per transaction: some ten milliseconds of locks."""
EVERY: Final = timedelta(hours=1)

_LOCK_SPACE = 0x7072756E  # "prun"
_AGAIN_SECONDS = 1.0
_NAME = re.compile(r"[a-z_]+(\.[a-z_]+)?")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Rows of `table` go when each of the columns `since` is older than `kept`, and `condition` holds."""

    table: str
    since: tuple[str, ...]
    kept: timedelta
    condition: str = "true"
    """SQL of the code, never of a user."""
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of the transaction: what row-level security asks for."""

    def __post_init__(self) -> None:
        if self.kept <= timedelta():
            raise ValueError(f"{self.table} would lose what is new")
        for name in (self.table, *self.since):
            if _NAME.fullmatch(name) is None:
                raise ValueError(f"no name of a table or column: {name!r}")

    @property
    def statement(self) -> str:
        """Takes the age and how many rows at most. The age is asked again of each row: it may have changed since it was chosen."""
        old = " and ".join([*(f"{column} < now() - $1::interval" for column in self.since), f"({self.condition})"])
        return f"delete from {self.table} where ctid = any(array(select ctid from {self.table} where {old} limit $2)) and {old}"  # noqa: S608


class Pruning:
    """Applies `rules` for ever. Any number may run over one schema."""

    def __init__(self, database: Database, schema: str, rules: Sequence[Rule], *, every: timedelta = EVERY, batch: int = BATCH) -> None:
        self._database = database
        self.lock = (_LOCK_SPACE, zlib.crc32(schema.encode()) & 0x7FFFFFFF)
        """The advisory lock of whoever deletes."""
        self._rules = tuple(rules)
        self._every = every
        self._batch = batch

    async def run(self) -> None:
        """Work until cancelled. A database that is away is waited for."""
        while True:
            try:
                await self.once()
                pause = self._every.total_seconds()
            except StoreError as error:
                if not error.retryable:
                    raise
                log.warning("pruning_waits_for_database", reason=str(error))
                pause = _AGAIN_SECONDS
            await asyncio.sleep(pause)

    async def once(self) -> Mapping[str, int]:
        """Delete everything that is due now; how many rows of each table went, as far as this process deleted them."""
        pruned = {rule.table: await self._apply(rule) for rule in self._rules}
        if any(pruned.values()):
            log.info("rows_pruned", **{table.replace(".", "_"): rows for table, rows in pruned.items() if rows})
        return pruned

    async def _apply(self, rule: Rule) -> int:
        total = 0
        while True:
            async with self._database.transaction() as connection:
                # For this transaction alone: a replica that finds it taken has nothing to do, and one that dies keeps nobody waiting.
                if not await connection.fetchval("select pg_try_advisory_xact_lock($1::int, $2::int)", *self.lock):
                    return total
                rows = await self._delete(connection, rule)
            total += rows
            if rows < self._batch:
                return total

    async def _delete(self, connection: Connection, rule: Rule) -> int:
        for name, value in rule.settings.items():
            await connection.execute("select set_config($1, $2, true)", name, value)
        status = await connection.execute(rule.statement, rule.kept, self._batch)
        return int(status.rpartition(" ")[2])
