"""Accounts and sessions in Postgres, schema `embedded_auth`. Every method runs on the caller's transaction."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

import asyncpg

from deploy.embedded.auth import passwords
from deploy.embedded.auth.errors import UserAlreadyExists
from deploy.embedded.auth.users import Session, User
from shared.store.database import Connection


class Users:
    """The table of accounts."""

    @staticmethod
    async def create(connection: Connection, email: str, password_hash: str, metadata: Mapping[str, Any]) -> User:
        """A new account. Raises UserAlreadyExists."""
        row = await connection.fetchrow(
            "insert into embedded_auth.users (email, password_hash, user_metadata) values ($1, $2, $3) on conflict do nothing returning *",
            email,
            password_hash,
            json.dumps(dict(metadata)),
        )
        if row is None:
            raise UserAlreadyExists
        return _user(row)

    @staticmethod
    async def create_first(connection: Connection, email: str, password: str) -> bool:
        """The generated account, where there is none at all; whether it was made."""
        if await connection.fetchval("select exists (select from embedded_auth.users)"):
            return False
        await Users.create(connection, email, await passwords.hash_password(password), {})
        return True

    @staticmethod
    async def by_email(connection: Connection, email: str) -> tuple[User, str] | None:
        """An account and its password hash."""
        row = await connection.fetchrow("select * from embedded_auth.users where email = $1", email)
        return (_user(row), row["password_hash"]) if row else None

    @staticmethod
    async def by_id(connection: Connection, user_id: uuid.UUID) -> tuple[User, str] | None:
        """An account and its password hash."""
        row = await connection.fetchrow("select * from embedded_auth.users where id = $1", user_id)
        return (_user(row), row["password_hash"]) if row else None

    @staticmethod
    async def change(
        connection: Connection, user_id: uuid.UUID, *, email: str | None, password_hash: str | None, metadata: Mapping[str, Any]
    ) -> User:
        """Change what is given; metadata is merged. Raises UserAlreadyExists when the e-mail address is taken."""
        try:
            row = await connection.fetchrow(
                "update embedded_auth.users set email = coalesce($2, email), password_hash = coalesce($3, password_hash), "
                "user_metadata = user_metadata || $4::jsonb, updated_at = now() where id = $1 returning *",
                user_id,
                email,
                password_hash,
                json.dumps(dict(metadata)),
            )
        except asyncpg.UniqueViolationError as error:
            raise UserAlreadyExists from error
        if row is None:
            raise LookupError(user_id)
        return _user(row)


class Sessions:
    """The table of sessions."""

    @staticmethod
    async def begin(connection: Connection, user_id: uuid.UUID) -> Session:
        """A new session; the account's last sign-in is now."""
        await connection.execute("update embedded_auth.users set last_sign_in_at = now() where id = $1", user_id)
        return _session(await connection.fetchrow("insert into embedded_auth.sessions (user_id) values ($1) returning *", user_id))

    @staticmethod
    async def lives(connection: Connection, session_id: uuid.UUID, user_id: uuid.UUID) -> bool:
        """Whether a token's session has not ended."""
        return await connection.fetchval(
            "select exists (select from embedded_auth.sessions where id = $1 and user_id = $2)", session_id, user_id
        )

    @staticmethod
    async def locked(connection: Connection, session_id: uuid.UUID, idle_days: int) -> "tuple[Session, bool, bool] | None":
        """The session with its row locked, whether its parent token was reused, and whether it was idle for too long."""
        row = await connection.fetchrow(
            "select *, refreshed_at < now() - make_interval(days => $2) as expired from embedded_auth.sessions where id = $1 for update",
            session_id,
            idle_days,
        )
        return (_session(row), row["parent_reused"], row["expired"]) if row else None

    @staticmethod
    async def advance(connection: Connection, session_id: uuid.UUID) -> Session:
        """The next refresh token is the current one now."""
        return _session(
            await connection.fetchrow(
                "update embedded_auth.sessions set refresh_number = refresh_number + 1, parent_reused = false, refreshed_at = now() "
                "where id = $1 returning *",
                session_id,
            )
        )

    @staticmethod
    async def note_reuse(connection: Connection, session_id: uuid.UUID) -> None:
        """The parent token came back once; it may not again."""
        await connection.execute("update embedded_auth.sessions set parent_reused = true where id = $1", session_id)

    @staticmethod
    async def end(connection: Connection, session_id: uuid.UUID) -> None:
        """This one."""
        await connection.execute("delete from embedded_auth.sessions where id = $1", session_id)

    @staticmethod
    async def end_all(connection: Connection, user_id: uuid.UUID, *, but: uuid.UUID | None = None) -> None:
        """Every session of an account, but one where it is named."""
        await connection.execute("delete from embedded_auth.sessions where user_id = $1 and id is distinct from $2", user_id, but)


def _user(row: Any) -> User:
    return User(row["id"], row["email"], json.loads(row["user_metadata"]), row["created_at"], row["updated_at"], row["last_sign_in_at"])


def _session(row: Any) -> Session:
    return Session(row["id"], row["user_id"], row["refresh_number"], row["signed_in_at"])
