"""What the auth server refuses, in GoTrue's codes; each class carries its status. A message never says whether an account exists."""


class AuthError(Exception):
    """A request is refused."""

    code = "unexpected_failure"
    status = 500
    message = "Unexpected failure, please try again"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.message)

    @property
    def headers(self) -> dict[str, str]:
        """Further headers of the answer."""
        return {}

    @property
    def details(self) -> dict[str, object]:
        """Further members of the answer."""
        return {}


class BadJson(AuthError):
    """The body is not the JSON object that is expected."""

    code, status, message = "bad_json", 400, "Could not parse request body as JSON"


class ValidationFailed(AuthError):
    """A parameter is missing or malformed."""

    code, status, message = "validation_failed", 400, "A parameter is missing or malformed"


class InvalidCredentials(AuthError):
    """Unknown account or wrong password: the same answer, after the same work."""

    code, status, message = "invalid_credentials", 400, "Invalid login credentials"


class UserAlreadyExists(AuthError):
    """The e-mail address has an account."""

    code, status, message = "user_already_exists", 422, "User already registered"


class SignupDisabled(AuthError):
    """The operator has not opened sign-up."""

    code, status, message = "signup_disabled", 422, "Signups not allowed for this instance"


class WeakPassword(AuthError):
    """The password is too short."""

    code, status = "weak_password", 422

    def __init__(self, min_length: int) -> None:
        super().__init__(f"Password should be at least {min_length} characters.")

    @property
    def details(self) -> dict[str, object]:
        """Why, as supabase-py reads it."""
        return {"weak_password": {"reasons": ["length"]}}


class SamePassword(AuthError):
    """The new password is the old one."""

    code, status, message = "same_password", 422, "New password should be different from the old password."


class RefreshTokenNotFound(AuthError):
    """It is no refresh token of ours, or its session is over."""

    code, status, message = "refresh_token_not_found", 400, "Invalid Refresh Token: Refresh Token Not Found"


class RefreshTokenAlreadyUsed(AuthError):
    """An old refresh token came back: somebody else may have it, so the session is revoked."""

    code, status, message = "refresh_token_already_used", 400, "Invalid Refresh Token: Already Used"


class SessionExpired(AuthError):
    """The session was not used for too long."""

    code, status, message = "session_expired", 400, "Invalid Refresh Token: Session Expired (Inactivity)"


class NoAuthorization(AuthError):
    """There is no bearer token."""

    code, status, message = "no_authorization", 401, "This endpoint requires a valid Bearer token"


class BadJwt(AuthError):
    """The bearer token is not valid."""

    code, status, message = "bad_jwt", 403, "invalid JWT: unable to parse or verify signature"


class SessionNotFound(AuthError):
    """The token's session is over."""

    code, status, message = "session_not_found", 403, "Session from session_id claim in JWT does not exist"


class OverRequestRateLimit(AuthError):
    """Too many failed attempts for this account or from this address."""

    code, status, message = "over_request_rate_limit", 429, "Request rate limit reached"

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__()
        self.retry_after_seconds = retry_after_seconds

    @property
    def headers(self) -> dict[str, str]:
        """When to try again."""
        return {"Retry-After": str(self.retry_after_seconds)}
