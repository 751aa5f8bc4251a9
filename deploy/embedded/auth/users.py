"""Accounts and sessions as values, and the shape in which GoTrue shows a user."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class User:
    """An account; its password hash stays in the store."""

    id: uuid.UUID
    email: str
    user_metadata: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime
    last_sign_in_at: datetime | None


@dataclass(frozen=True)
class Session:
    """A signed-in client and the number of its current refresh token."""

    id: uuid.UUID
    user_id: uuid.UUID
    refresh_number: int
    signed_in_at: datetime


def app_metadata() -> dict[str, Any]:
    """What the server says about an account; a user cannot change it."""
    return {"provider": "email", "providers": ["email"]}


def shown(user: User) -> dict[str, Any]:
    """The user object of every answer."""
    created, updated = _time(user.created_at), _time(user.updated_at)
    signed_in = _time(user.last_sign_in_at) if user.last_sign_in_at else None
    identity = {
        "identity_id": str(user.id),
        "id": str(user.id),
        "user_id": str(user.id),
        "identity_data": {"email": user.email, "email_verified": True, "phone_verified": False, "sub": str(user.id)},
        "provider": "email",
        "last_sign_in_at": signed_in,
        "created_at": created,
        "updated_at": updated,
        "email": user.email,
    }
    return {
        "id": str(user.id),
        "aud": "authenticated",
        "role": "authenticated",
        "email": user.email,
        "email_confirmed_at": created,
        "phone": "",
        "confirmed_at": created,
        "last_sign_in_at": signed_in,
        "app_metadata": app_metadata(),
        "user_metadata": dict(user.user_metadata),
        "identities": [identity],
        "created_at": created,
        "updated_at": updated,
        "is_anonymous": False,
    }


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
