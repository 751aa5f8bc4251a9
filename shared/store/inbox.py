"""Which messages a consumer has acted on: asked and noted in the transaction of the effect, so that the effect happens once."""

from datetime import timedelta
from typing import Final

from shared.store.database import Connection
from shared.store.schemas import checked

KEPT: Final = timedelta(days=60)
"""Twice as long as the dead-letter stream keeps a message: a replay keeps the message's id, and must still find it here."""


class Inbox:
    """The table `<schema>.inbox`."""

    def __init__(self, schema: str) -> None:
        name = checked(schema)
        self._insert = f"insert into {name}.inbox (consumer, message_id) values ($1, $2) on conflict do nothing returning true"  # noqa: S608
        self._prune = f"delete from {name}.inbox where at < now() - $1::interval"  # noqa: S608

    async def first_time(self, connection: Connection, consumer: str, message_id: str) -> bool:
        """Note the message; False when it was noted before. A second delivery at the same time waits for the first one's transaction."""
        if not connection.is_in_transaction():
            raise RuntimeError("a message is noted in the transaction of its effect")
        return await connection.fetchval(self._insert, consumer, message_id) is True

    async def prune(self, connection: Connection, kept: timedelta = KEPT) -> int:
        """Forget what is older; gives how many were forgotten."""
        status = await connection.execute(self._prune, kept)
        return int(status.rpartition(" ")[2])
