"""Access tokens with GoTrue's claims: made for a session, and read back for the endpoints that need one."""

import time
import uuid
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from deploy.embedded.auth import keys
from deploy.embedded.auth.errors import BadJwt
from deploy.embedded.auth.users import Session, User, app_metadata

AUDIENCE = "authenticated"


@dataclass(frozen=True)
class Caller:
    """Who sent a request, by its token; whether the session still lives is the database's to say."""

    user_id: uuid.UUID
    session_id: uuid.UUID


@dataclass(frozen=True)
class AccessTokens:
    """Signs and verifies with one key, under one issuer."""

    key: ECKey
    issuer: str
    seconds: int

    def issue(self, user: User, session: Session) -> tuple[str, int]:
        """A token and the time it ends."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": str(user.id),
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + self.seconds,
            "email": user.email,
            "phone": "",
            "app_metadata": app_metadata(),
            "user_metadata": dict(user.user_metadata),
            "role": AUDIENCE,
            "aal": "aal1",
            "amr": [{"method": "password", "timestamp": int(session.signed_in_at.timestamp())}],
            "session_id": str(session.id),
            "is_anonymous": False,
        }
        header = {"alg": keys.ALGORITHM, "kid": self.key.kid, "typ": "JWT"}
        return jwt.encode(header, claims, self.key), claims["exp"]

    def read(self, token: str) -> Caller:
        """The caller of a valid token. Raises BadJwt."""
        try:
            claims = jwt.decode(token, self.key, algorithms=[keys.ALGORITHM]).claims
            _rules(self.issuer).validate(claims)
            return Caller(uuid.UUID(claims["sub"]), uuid.UUID(claims["session_id"]))
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise BadJwt from error


def _rules(issuer: str) -> jwt.JWTClaimsRegistry:
    return jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": AUDIENCE},
        exp={"essential": True},
        sub={"essential": True},
        session_id={"essential": True},
    )
