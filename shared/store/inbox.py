"""Which messages a consumer has acted on: asked and noted in the transaction of the effect, so that the effect happens once."""

from datetime import timedelta
from typing import Final

from shared.store.database import Connection
from shared.store.pruning import Rule
from shared.store.schemas import checked

KEPT: Final = timedelta(days=60)
"""Longer than a message lives: 30 days in its stream and 14 in the dead letters. A replay keeps its id, and must still find it here."""


class Inbox:
    """The table `<schema>.inbox`."""

    def __init__(self, schema: str) -> None:
        self._table = f"{checked(schema)}.inbox"
        self._insert = f"insert into {self._table} (consumer, message_id) values ($1, $2) on conflict do nothing returning true"  # noqa: S608

    async def first_time(self, connection: Connection, consumer: str, message_id: str) -> bool:
        """Note the message; False when it was noted before. A second delivery at the same time waits for the first one's transaction."""
        if not connection.is_in_transaction():
            raise RuntimeError("a message is noted in the transaction of its effect")
        return await connection.fetchval(self._insert, consumer, message_id) is True

    def rule(self, kept: timedelta = KEPT) -> Rule:
        """What may be forgotten."""
        return Rule(table=self._table, since=("at",), kept=kept)
