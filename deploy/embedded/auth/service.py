"""What the auth server does: sign-up, sign-in, refresh, the user's own account, sign-out. No HTTP in here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from deploy.embedded.auth import metadata as metadatas
from deploy.embedded.auth import passwords
from deploy.embedded.auth.errors import (
    AuthError,
    InvalidCredentials,
    RefreshTokenAlreadyUsed,
    RefreshTokenNotFound,
    SamePassword,
    SessionExpired,
    SessionNotFound,
    SignupDisabled,
    UserAlreadyExists,
    ValidationFailed,
    WeakPassword,
)
from deploy.embedded.auth.refresh import RefreshToken
from deploy.embedded.auth.rotation import Rotation, decide
from deploy.embedded.auth.settings import AuthSettings
from deploy.embedded.auth.store import Sessions, Users
from deploy.embedded.auth.throttle import Throttle
from deploy.embedded.auth.tokens import AccessTokens, Caller
from deploy.embedded.auth.users import Session, User, shown
from shared.store.database import Connection, Database

log = structlog.get_logger(__name__)

Answer = dict[str, Any]


@dataclass(frozen=True)
class AuthService:
    """Everything over one database with one set of keys."""

    settings: AuthSettings
    database: Database
    tokens: AccessTokens
    refresh_key: bytes
    throttle: Throttle

    async def sign_up(self, email: str, password: str, metadata: Mapping[str, Any]) -> Answer:
        """A new account, signed in at once: there is nobody here to send mail. Raises SignupDisabled, WeakPassword, UserAlreadyExists."""
        if not self.settings.signup_enabled:
            raise SignupDisabled
        self._check_strength(password)
        hashed = await passwords.hash_password(password)
        async with self.database.transaction() as connection:
            user = await Users.create(connection, email, hashed, metadata)
            log.info("user_signed_up", user_id=str(user.id))
            return await self._begin(connection, user)

    async def sign_in(self, email: str, password: str, address: str | None) -> Answer:
        """A new session. Raises InvalidCredentials, OverRequestRateLimit."""
        self.throttle.check(email, address)
        async with self.database.transaction() as connection:
            found = await Users.by_email(connection, email)
        # Counted before the slow part, so that attempts side by side count too.
        self.throttle.failed(email, address)
        if not await passwords.matches(password, found[1] if found else None) or found is None:
            log.warning("sign_in_failed", known=found is not None, user_id=str(found[0].id) if found else None)
            raise InvalidCredentials
        self.throttle.succeeded(email, address)
        async with self.database.transaction() as connection:
            return await self._begin(connection, found[0])

    async def refresh(self, text: str) -> Answer:
        """The session's next tokens. Raises RefreshTokenNotFound, RefreshTokenAlreadyUsed, SessionExpired."""
        token = RefreshToken.read(text, self.refresh_key)
        async with self.database.transaction() as connection:
            result = await self._rotate(connection, token)
        # After the commit: an exception inside would roll the revocation back.
        if isinstance(result, AuthError):
            raise result
        return result

    async def user(self, caller: Caller) -> Answer:
        """The caller's account. Raises SessionNotFound."""
        async with self.database.transaction() as connection:
            return shown((await self._account(connection, caller))[0])

    async def change(self, caller: Caller, *, email: str | None, password: str | None, metadata: Mapping[str, Any]) -> Answer:
        """Change the caller's account; a new password ends all other sessions. Raises SessionNotFound, WeakPassword, SamePassword."""
        async with self.database.transaction() as connection:
            user, stored = await self._account(connection, caller)
        hashed = None
        if password is not None:
            self._check_strength(password)
            if await passwords.matches(password, stored):
                raise SamePassword
            hashed = await passwords.hash_password(password)
        async with self.database.transaction() as connection:
            if email is not None and email != user.email and await Users.by_email(connection, email) is not None:
                raise UserAlreadyExists
            account, _ = await self._account(connection, caller)
            _check_size({**account.user_metadata, **metadata})
            changed = await Users.change(connection, caller.user_id, email=email, password_hash=hashed, metadata=metadata)
            if hashed is not None:
                await Sessions.end_all(connection, caller.user_id, but=caller.session_id)
            return shown(changed)

    async def sign_out(self, caller: Caller, scope: str) -> None:
        """End this session (`local`), all others (`others`) or every one (`global`). Raises SessionNotFound."""
        async with self.database.transaction() as connection:
            await self._account(connection, caller)
            if scope == "local":
                await Sessions.end(connection, caller.session_id)
            else:
                await Sessions.end_all(connection, caller.user_id, but=caller.session_id if scope == "others" else None)

    async def _rotate(self, connection: Connection, token: RefreshToken) -> Answer | AuthError:
        found = await Sessions.locked(connection, token.session_id, self.settings.session_idle_days)
        if found is None:
            return RefreshTokenNotFound()
        session, parent_reused, expired = found
        if expired:
            await Sessions.end(connection, session.id)
            return SessionExpired()
        match decide(sent=token.number, current=session.refresh_number, parent_reused=parent_reused):
            case Rotation.ADVANCE:
                session = await Sessions.advance(connection, session.id)
            case Rotation.GIVE_CURRENT:
                await Sessions.note_reuse(connection, session.id)
            case Rotation.REVOKE:
                await Sessions.end(connection, session.id)
                log.warning("session_revoked", reason="refresh_token_reused", session_id=str(session.id), user_id=str(session.user_id))
                return RefreshTokenAlreadyUsed()
        owner = await Users.by_id(connection, session.user_id)
        return self._answer(owner[0], session) if owner else RefreshTokenNotFound()

    async def _begin(self, connection: Connection, user: User) -> Answer:
        session = await Sessions.begin(connection, user.id)
        found = await Users.by_id(connection, user.id)
        if found is None:
            raise InvalidCredentials
        return self._answer(found[0], session)

    async def _account(self, connection: Connection, caller: Caller) -> tuple[User, str]:
        found = await Users.by_id(connection, caller.user_id)
        if found is None or not await Sessions.lives(connection, caller.session_id, caller.user_id):
            raise SessionNotFound
        return found

    def _answer(self, user: User, session: Session) -> Answer:
        access_token, expires_at = self.tokens.issue(user, session)
        return {
            "access_token": access_token,
            "token_type": "bearer",
            "expires_in": self.settings.access_token_seconds,
            "expires_at": expires_at,
            "refresh_token": RefreshToken(session.id, session.refresh_number).sign(self.refresh_key),
            "user": shown(user),
        }

    def _check_strength(self, password: str) -> None:
        if len(password) < self.settings.password_min_length:
            raise WeakPassword(self.settings.password_min_length)


def _check_size(metadata: dict[str, Any]) -> None:
    """Changes are merged: each alone may be small."""
    try:
        metadatas.storable(metadata)
    except ValueError as error:
        raise ValidationFailed(str(error)) from error
