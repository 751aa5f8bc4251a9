"""What every request passes first and every answer last: its id, its caller, its size, its type, the security headers, the last catch.

Plain ASGI, so that streams pass unbuffered. Nobody gets past it without a valid token but to the paths of `access.PUBLIC`, and no API
token but to a route of `access.TABLE` that it has the scope for, so that a route can not be left open by forgetting something. It must
never let an exception's text or a trace reach a client.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway import access, problems
from services.gateway.access import Need
from services.gateway.errors import BodyTooLarge, GatewayError, Invalid, MethodNotAllowed, NotFound, UnsupportedMediaType
from services.gateway.tokens import Caller
from shared.events import ids

SECURITY_HEADERS: Final = {
    # OWASP REST Security Cheat Sheet, "Security Headers": an API's answers are never a document, a frame or a cache entry.
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "()",
    "cache-control": "no-store",
}
_DISCARD_FACTOR: Final = 4
_DISCARD_SECONDS: Final = 2.0
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})

log = structlog.get_logger(__name__)


Authenticate = Callable[[str | None, Need | None], Awaitable[Caller]]
"""The caller by the `Authorization` header, if they may do what needs that. Raises Unauthenticated, InsufficientScope, PersonNeeded."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How much a body may hold, and how long it may take to arrive."""

    max_bytes: int
    timeout_seconds: float


class Edge:
    """The outermost layer of the application that is ours."""

    def __init__(self, app: ASGIApp, authenticate: Authenticate, limits: BodyLimits) -> None:
        self._app = app
        self._authenticate = authenticate
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = ids.fresh()
        scope.setdefault("state", {})["request_id"] = request_id
        answer = _Answer(send, request_id)
        started = time.monotonic()
        structlog.contextvars.clear_contextvars()
        with structlog.contextvars.bound_contextvars(request_id=request_id, owner=None, token_id=None):
            try:
                await self._admit(scope)
                await self._app(scope, await self._with_body(scope, receive), answer.send)
            except GatewayError as refusal:
                await answer.problem(refusal, scope, receive)
            except Exception as failure:
                # The last catch: what nobody expected is logged with its trace and told as a 500 without it.
                known = problems.of_failure(failure)
                log.exception("request_failed", status=known.status)
                if answer.status:
                    raise
                await answer.problem(known, scope, receive)
            finally:
                elapsed = round((time.monotonic() - started) * 1000, 1)
                log.info("request_done", method=scope["method"], path=scope["path"], status=answer.status, milliseconds=elapsed)

    async def _admit(self, scope: Scope) -> None:
        path = scope["path"]
        if path in access.PUBLIC:
            return
        need = access.need(scope["method"], path)
        caller = await self._authenticate(Headers(scope=scope).get("authorization"), need)
        structlog.contextvars.bind_contextvars(owner=caller.owner)
        if caller.api_token is not None:
            structlog.contextvars.bind_contextvars(token_id=caller.api_token.token_id)
            if need is None:
                # Not left to the router: what it would find for a path that the table does not know must not be done.
                allowed = access.methods(path)
                raise MethodNotAllowed(headers={"Allow": ", ".join(allowed)}) if allowed else NotFound()
        scope["state"]["caller"] = caller

    async def _with_body(self, scope: Scope, receive: Receive) -> Receive:
        """The body read whole, so that a slow or endless one costs no handler; `receive` goes on behind it."""
        if scope["method"] not in _WITH_BODY:
            return receive
        headers = Headers(scope=scope)
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self._limits.max_bytes:
            await self._discard(receive)
            raise self._too_large()
        try:
            async with asyncio.timeout(self._limits.timeout_seconds):
                body = await self._read(receive)
        except TimeoutError as error:
            raise Invalid("The body did not arrive in time.") from error
        if body and headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise UnsupportedMediaType
        return _replay(body, receive)

    async def _read(self, receive: Receive) -> bytes:
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Invalid("The body ended early.")
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._limits.max_bytes:
                await self._discard(receive)
                raise self._too_large()
        return bytes(body)

    async def _discard(self, receive: Receive) -> None:
        """Take some of what a client is still sending: closing on it would reset the connection, and our answer would be lost with it."""
        left = _DISCARD_FACTOR * self._limits.max_bytes
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DISCARD_SECONDS):
                while left > 0:
                    message = await receive()
                    if not message.get("more_body", False):
                        return
                    left -= len(message["body"])

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"The body is over {self._limits.max_bytes} bytes.", headers={"Connection": "close"})


def _replay(body: bytes, receive: Receive) -> Callable[[], Awaitable[MutableMapping[str, Any]]]:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


class _Answer:
    """The way out: adds the headers every answer has, and remembers whether it began."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(raw=message["headers"])
            headers["x-request-id"] = self._request_id
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            message["headers"] = headers.raw
        await self._send(message)

    async def problem(self, error: GatewayError, scope: Scope, receive: Receive) -> None:
        await problems.response(error, path=scope["path"], request_id=self._request_id)(scope, receive, self.send)
