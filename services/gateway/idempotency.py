"""`Idempotency-Key`: the same key with the same request gets the answer the first one got, also when both arrive at once.

The key is claimed in the transaction that does the work: a second request waits for the first to commit, and finds its answer.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

from fastapi import Header
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from services.gateway.errors import IdempotencyKeyReused
from services.gateway.rows import uuid
from services.gateway.text import Request, Resource
from shared.events.ids import OwnerId
from shared.store.database import Connection

R = TypeVar("R", bound=Resource)

_KEY: Final = re.compile(r"[!-~]{1,255}")


def _key(text: str) -> str:
    if _KEY.fullmatch(text) is None:
        raise PydanticCustomError("idempotency_key", "must be 1 to 255 visible ASCII characters, best a random UUID")
    return text


IdempotencyKey = Annotated[
    Annotated[str, AfterValidator(_key)] | None,
    Header(alias="Idempotency-Key", description="Makes it safe to send the same request again: it is carried out once."),
]


@dataclass(frozen=True, slots=True)
class Claim:
    """A key of one owner, for one request."""

    owner: OwnerId
    key: str
    digest: bytes


def claim(owner: OwnerId, key: str | None, operation: str, request: Request) -> Claim | None:
    """The claim of `key` for this request; None without a key."""
    if key is None:
        return None
    return Claim(owner, key, hashlib.sha256(f"{operation}\n{request.model_dump_json()}".encode()).digest())


async def once(connection: Connection, claimed: Claim | None, hours: int, form: type[R], work: Callable[[], Awaitable[R]]) -> R:
    """What `work` gives, or gave when the key was first used; without a key it is simply done. Raises IdempotencyKeyReused."""
    if claimed is None:
        return await work()
    await forget_old(connection, claimed.owner, hours)
    earlier = await earlier_answer(connection, claimed)
    if earlier is not None:
        return form.model_validate_json(earlier)
    made = await work()
    await remember(connection, claimed, made.model_dump_json())
    return made


async def earlier_answer(connection: Connection, claimed: Claim) -> str | None:
    """The answer the first request with this key got, or None when this is the first. Raises IdempotencyKeyReused."""
    first = await connection.execute(
        "insert into gateway.idempotency_keys (owner, key, request_digest) values ($1, $2, $3) on conflict do nothing",
        uuid(claimed.owner),
        claimed.key,
        claimed.digest,
    )
    if first == "INSERT 0 1":
        return None
    row = await connection.fetchrow(
        "select request_digest, body from gateway.idempotency_keys where owner = $1 and key = $2", uuid(claimed.owner), claimed.key
    )
    if row is None or row["request_digest"] != claimed.digest:
        raise IdempotencyKeyReused
    return row["body"]


async def remember(connection: Connection, claimed: Claim, body: str) -> None:
    """Keep the answer for the next request with this key."""
    await connection.execute(
        "update gateway.idempotency_keys set body = $3 where owner = $1 and key = $2", uuid(claimed.owner), claimed.key, body
    )


async def forget_old(connection: Connection, owner: OwnerId, hours: int) -> None:
    """Drop the owner's keys that are older than that; done along the way, so that no job has to."""
    await connection.execute(
        "delete from gateway.idempotency_keys where owner = $1 and created_at < now() - make_interval(hours => $2)", uuid(owner), hours
    )
