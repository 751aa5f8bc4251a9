"""Brings a database to what the auth server needs: its schema, its role's password, and the first account. Can be run at any time."""

import secrets
from typing import Final

from deploy.embedded.auth import SCHEMA
from deploy.embedded.auth.store import Users
from deploy.postgres.apply import scram_verifier
from shared.store.database import Connection

ROLE: Final = "async_code_auth"


async def apply(connection: Connection, role_password: str, first_email: str, first_password: str) -> bool:
    """On a superuser's connection; whether the first account was made now."""
    await connection.execute(SCHEMA.read_text())
    # As for the services' roles: the server is sent the verifier alone, so no log of it can hold the password.
    verifier = scram_verifier(role_password, secrets.token_bytes(16))
    await connection.execute(
        await connection.fetchval("select format('alter role %I with password %L', $1::text, $2::text)", ROLE, verifier)
    )
    return await Users.create_first(connection, first_email, first_password)
