"""Every error as a problem document (RFC 9457): a stable `type`, what was expected, what to do, and the request's id.

It must never show a stack trace, an exception's text or what was sent: input may be a secret.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from services.gateway.errors import (
    BodyTooLarge,
    Expired,
    FieldError,
    GatewayError,
    Invalid,
    MethodNotAllowed,
    NotFound,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
    invalid,
)
from shared.blobs.errors import BlobCorrupt, BlobMissing, BlobTooLarge
from shared.bus.errors import Refused, Transient
from shared.store.errors import OutboxFull, StoreConflict, StoreUnavailable

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:async-code:problem:"


class ProblemField(BaseModel):
    """One field that breaks one rule."""

    field: Annotated[str, Field(description="Where: `body.prompt`, `query.limit`, `path.task_id`, `header.idempotency-key`.")]
    rule: Annotated[str, Field(description="The rule's stable name, as `string_too_long`.")]
    message: Annotated[str, Field(description="The rule in words, with its bounds.")]


class Problem(BaseModel):
    """A problem document (RFC 9457). Match on `type`; show `detail` and `advice`."""

    type: Annotated[str, Field(examples=[TYPE_PREFIX + "not-found"])]
    title: str
    status: int
    detail: str
    advice: Annotated[str, Field(description="What to do about it.")]
    instance: Annotated[str, Field(description="The request's path.")]
    request_id: str
    errors: Annotated[list[ProblemField], Field(description="The fields at fault; empty where none is.")] = []


def document(error: GatewayError, *, path: str, request_id: str) -> Problem:
    """The problem document of `error`."""
    return Problem(
        type=TYPE_PREFIX + error.slug,
        title=error.title,
        status=error.status,
        detail=error.detail,
        advice=error.advice,
        instance=path,
        request_id=request_id,
        errors=[ProblemField(field=fault.field, rule=fault.rule, message=fault.message) for fault in error.errors],
    )


def response(error: GatewayError, *, path: str, request_id: str) -> Response:
    """The answer to a request that failed with `error`."""
    body = document(error, path=path, request_id=request_id).model_dump_json()
    return Response(body, status_code=error.status, media_type=MEDIA_TYPE, headers=error.headers)


def field_errors(faults: Sequence[Any]) -> tuple[FieldError, ...]:
    """Pydantic's faults without the input that caused them."""
    return tuple(_field_error(fault) for fault in faults)


def _field_error(fault: Mapping[str, Any]) -> FieldError:
    if fault["type"] == "json_invalid":
        return FieldError("body", "json", "The body is not JSON.")
    where = [str(part) for part in fault["loc"]]
    return FieldError(".".join(where) or "body", str(fault["type"]), str(fault["msg"]).removeprefix("Value error, "))


def of_validation(error: RequestValidationError) -> Invalid:
    """FastAPI's own refusal of a request, as ours."""
    faults = field_errors(error.errors())
    return Invalid(f"{len(faults)} field(s) break a rule: {', '.join(sorted({fault.field for fault in faults}))}.", errors=faults)


_BAD_REQUEST: Final = 400
_CLIENT_ERROR: Final = 4
_BY_STATUS: Final[Mapping[int, type[GatewayError]]] = {
    401: Unauthenticated,
    404: NotFound,
    405: MethodNotAllowed,
    413: BodyTooLarge,
    415: UnsupportedMediaType,
}


def of_status(error: HTTPException) -> GatewayError:
    """The framework's own refusal (no such path, wrong method), as ours."""
    if error.status_code == _BAD_REQUEST:  # the body's bytes: not UTF-8, or nested too deep
        return invalid("body", "json", "is not JSON this server reads")
    kind = _BY_STATUS.get(error.status_code, Invalid if error.status_code // 100 == _CLIENT_ERROR else GatewayError)
    return kind(headers=error.headers)


def of_failure(error: Exception) -> GatewayError:  # noqa: PLR0911 - one line per kind
    """A part that does not answer is 503; what the client cannot help is 500."""
    match error:
        case GatewayError():
            return error
        case HTTPException():
            return of_status(error)
        case RequestValidationError():
            return of_validation(error)
        case BlobMissing():
            return Expired()
        case BlobCorrupt() | BlobTooLarge():
            return GatewayError("What is stored cannot be shown.")
        case Refused(reason="not_found"):
            return NotFound()
        case OutboxFull():
            return Unavailable(
                "What was asked for before waits to be passed on inside the system; until it has been, nothing more is taken."
            )
        case Transient() | StoreUnavailable() | StoreConflict():
            return Unavailable()
        case _:
            return GatewayError()
