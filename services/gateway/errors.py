"""Every way this service refuses a request: each class carries its status, its stable name and its advice.

A `slug` is the stable last part of a problem's `type` URI: clients match on it, so it never changes its meaning.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that breaks one rule."""

    field: str
    rule: str
    message: str


class GatewayError(Exception):
    """The request was refused."""

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something failed inside the system"
    advice: ClassVar[str] = "Try again; if it stays, give the operator this problem's request_id."

    def __init__(self, detail: str = "", *, errors: tuple[FieldError, ...] = (), headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or (type(self).__doc__ or self.title)
        self.errors = errors
        self.headers = dict(headers or {})


class Unauthenticated(GatewayError):
    """The request carries no valid access token."""

    status = 401
    slug = "unauthenticated"
    title = "Sign in first"
    advice = "Send `Authorization: Bearer <access token>`; GET /v1/auth says where to sign in."


class TokenMalformed(Unauthenticated):
    """This is no API token: it is cut, or a character of it is wrong."""

    slug = "token-malformed"
    title = "No API token"
    advice = "Copy the token again, whole: `acp_` and 36 letters and digits."


class TokenUnknown(Unauthenticated):
    """This API token was never made here, or it was revoked."""

    slug = "token-unknown"
    title = "Unknown API token"
    advice = "Ask whoever gave you the token for another. A signed-in person makes one with POST /v1/tokens."


class TokenExpired(Unauthenticated):
    """This API token has expired."""

    slug = "token-expired"
    title = "Expired API token"
    advice = "Make another: a signed-in person does with POST /v1/tokens."


class InsufficientScope(GatewayError):
    """The API token lacks a scope that this needs."""

    status = 403
    slug = "insufficient-scope"
    title = "The token may not do this"
    advice = "Use a token with the scope that `detail` names. A signed-in person makes one with POST /v1/tokens."


class PersonNeeded(GatewayError):
    """Only a signed-in person can do this; no API token can, whatever its scopes."""

    status = 403
    slug = "person-needed"
    title = "A person must do this"
    advice = "Sign in, and do it with that access token; GET /v1/auth says where."


class NotFound(GatewayError):
    """There is no such thing here, or it is not yours."""

    status = 404
    slug = "not-found"
    title = "Not found"
    advice = "Check the id and the account you are signed in with."


class NotYet(GatewayError):
    """The task has not made this yet, or never will."""

    status = 404
    slug = "not-yet"
    title = "Not there yet"
    advice = "Watch GET /v1/tasks/{id}/events, and ask again after the agent has ended."


class MethodNotAllowed(GatewayError):
    """This path does not answer this method."""

    status = 405
    slug = "method-not-allowed"
    title = "Method not allowed"
    advice = "Use one of the methods in the Allow header."


class WrongState(GatewayError):
    """The task is in a state that does not allow this."""

    status = 409
    slug = "wrong-state"
    title = "Not in this state"
    advice = "Read the task again: its state has changed."


class NothingKept(GatewayError):
    """Nothing is kept of what the task made, so there is nothing to publish or discard."""

    status = 409
    slug = "nothing-kept"
    title = "Nothing is kept"
    advice = "Look at `kept` of the task. What was discarded, rejected or has expired cannot be brought back: create the task again."


class Conflict(GatewayError):
    """What is asked for conflicts with what is there."""

    status = 409
    slug = "conflict"
    title = "Conflict"
    advice = "Read what is there, then decide."


class Gone(GatewayError):
    """What was asked for was kept for a while and is not there any more."""

    status = 410
    slug = "gone"
    title = "Gone"
    advice = "For a stream: open it again without Last-Event-ID; it begins with a fresh snapshot."


class Expired(Gone):
    """The content was kept for a while and is not there any more."""

    advice = "Nothing brings it back. The task itself is there, and so is the branch where it published one."


class BodyTooLarge(GatewayError):
    """The request's body is over the limit."""

    status = 413
    slug = "body-too-large"
    title = "Body too large"
    advice = "Send less."


class UnsupportedMediaType(GatewayError):
    """The request's body must be JSON."""

    status = 415
    slug = "unsupported-media-type"
    title = "Unsupported media type"
    advice = "Send `Content-Type: application/json`."


class Invalid(GatewayError):
    """The request breaks the rules listed in `errors`."""

    status = 422
    slug = "invalid"
    title = "Invalid request"
    advice = "Correct the fields named in `errors`."


class IdempotencyKeyReused(GatewayError):
    """This Idempotency-Key was used with another body."""

    status = 422
    slug = "idempotency-key-reused"
    title = "Idempotency key reused"
    advice = "Use a fresh key for a new request."


class Unavailable(GatewayError):
    """A part this request needs does not answer just now."""

    status = 503
    slug = "unavailable"
    title = "Not available just now"
    advice = "Try again in a few seconds."

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, headers={"Retry-After": "5"})


class TooManyStreams(GatewayError):
    """There are too many open event streams."""

    status = 429
    slug = "too-many-streams"
    title = "Too many open streams"
    advice = "Close a stream you no longer read, or try again later."


def invalid(field: str, rule: str, message: str) -> Invalid:
    """A refusal of one field."""
    return Invalid(f"{field}: {message}", errors=(FieldError(field, rule, message),))
