"""Grants in Postgres.

A token is looked up before its owner is known: row-level security then shows the one row whose digest the transaction claims, and
whoever can name a digest has had the token.
"""

from asyncpg import Record

from services.gateway.api_tokens.grants import Grant, Reason
from services.gateway.identity import claims
from services.gateway.rows import uuid
from shared.events import envelope
from shared.events.facts import TokenRefused
from shared.events.ids import OwnerId, TokenId
from shared.events.values import TokenScope
from shared.store.database import Database
from shared.store.outbox import Outbox

_IDLE = "(last_used_at is null or last_used_at < now() - interval '1 minute')"
"""A use is stored once a minute: a token that is used all the time is written sixty times an hour, whatever it asks."""


class StoredGrants:
    """`Grants` on the gateway's database."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def find(self, digest: bytes) -> Grant | None:
        """The grant of the token with this digest."""
        async with self._database.transaction({"api_token_digest": digest.hex()}) as connection:
            row = await connection.fetchrow(
                f"""select id, owner, scopes, expires_at, revoked_at is not null as revoked, {_IDLE} as idle
                    from gateway.api_tokens where digest = $1""",  # noqa: S608 - a constant
                digest,
            )
        return None if row is None else _grant(row)

    async def used(self, grant: Grant) -> None:
        """Store that it was used; of requests at the same time one does."""
        async with self._database.transaction(claims(grant.owner)) as connection:
            await connection.execute(
                f"update gateway.api_tokens set last_used_at = now() where owner = $1 and id = $2 and {_IDLE}",  # noqa: S608
                uuid(grant.owner),
                uuid(grant.token_id),
            )

    async def refused(self, grant: Grant, reason: Reason) -> None:
        """Tell the trail, at most once an hour for one reason."""
        async with self._database.transaction(claims(grant.owner)) as connection:
            news = await connection.execute(
                """update gateway.api_tokens set refused_at = now(), refused_reason = $3
                   where owner = $1 and id = $2
                   and (refused_reason is distinct from $3 or refused_at < now() - interval '1 hour')""",
                uuid(grant.owner),
                uuid(grant.token_id),
                reason,
            )
            if news == "UPDATE 1":
                fact = TokenRefused(token_id=grant.token_id, reason=reason)
                await self._outbox.enqueue(connection, envelope.new(fact, source="gateway", owner=grant.owner))


def _grant(row: Record) -> Grant:
    return Grant(
        token_id=TokenId(str(row["id"])),
        owner=OwnerId(str(row["owner"])),
        scopes=frozenset(TokenScope(scope) for scope in row["scopes"]),
        expires_at=row["expires_at"],
        revoked=row["revoked"],
        use_is_news=row["idle"],
    )
