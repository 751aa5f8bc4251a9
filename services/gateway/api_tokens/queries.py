"""The SQL of API tokens, as their owners see them. Each statement names the owner; row-level security would hold without that."""

from asyncpg import Record

from services.gateway.api_tokens.schemas import ApiToken, NewToken
from services.gateway.paging import Window
from services.gateway.rows import uuid
from shared.events.ids import OwnerId, TokenId
from shared.events.values import TokenScope
from shared.store.database import Connection

_COLUMNS = "id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at"


async def count(connection: Connection, owner: OwnerId) -> int:
    """How many tokens of the owner could be used. Whoever adds one in this transaction waits for others who do."""
    await connection.execute("select pg_advisory_xact_lock(hashtextextended('gateway.api_tokens ' || $1::text, 0))", str(owner))
    return await connection.fetchval(
        "select count(*) from gateway.api_tokens where owner = $1 and revoked_at is null and expires_at > now()", uuid(owner)
    )


async def insert(connection: Connection, owner: OwnerId, token_id: TokenId, new: NewToken, *, prefix: str, digest: bytes) -> ApiToken:
    """Store a token by its digest."""
    row = await connection.fetchrow(
        f"""insert into gateway.api_tokens (id, owner, name, prefix, digest, scopes, expires_at)
            values ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7)) returning {_COLUMNS}""",  # noqa: S608 - constants
        uuid(token_id),
        uuid(owner),
        new.name,
        prefix,
        digest,
        [str(scope) for scope in new.scopes],
        new.expires_in_seconds,
    )
    assert row is not None  # noqa: S101 - an insert returns its row
    return _token(row)


async def page(connection: Connection, owner: OwnerId, window: Window) -> list[ApiToken]:
    """The owner's tokens, newest first."""
    rows = await connection.fetch(
        f"""select {_COLUMNS} from gateway.api_tokens
            where owner = $1 and ($2::timestamptz is null or (created_at, id) < ($2, $3::uuid))
            order by created_at desc, id desc limit $4""",  # noqa: S608
        uuid(owner),
        window.created_at,
        uuid(window.id),
        window.fetch,
    )
    return [_token(row) for row in rows]


async def revoke(connection: Connection, owner: OwnerId, token_id: TokenId) -> bool | None:
    """Revoke a token for good: whether it was not before; None where there is no such token."""
    known = await connection.fetchval(
        "select revoked_at is not null from gateway.api_tokens where owner = $1 and id = $2 for update", uuid(owner), uuid(token_id)
    )
    if known is None or known:
        return None if known is None else False
    await connection.execute("update gateway.api_tokens set revoked_at = now() where owner = $1 and id = $2", uuid(owner), uuid(token_id))
    return True


async def is_good(connection: Connection, owner: OwnerId, token_id: TokenId) -> bool:
    """Whether a token that was good still is."""
    return await connection.fetchval(
        "select exists(select from gateway.api_tokens where owner = $1 and id = $2 and revoked_at is null and expires_at > now())",
        uuid(owner),
        uuid(token_id),
    )


def _token(row: Record) -> ApiToken:
    return ApiToken(
        id=TokenId(str(row["id"])),
        name=row["name"],
        prefix=row["prefix"],
        scopes=tuple(TokenScope(scope) for scope in row["scopes"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
        revoked_at=row["revoked_at"],
    )
