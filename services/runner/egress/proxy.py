"""The door's keeper: takes the sandbox's requests from its socket, checks them, puts the real key in, and meters what comes back.

Refusals are answered with 400, which no agent retries. What the upstream says about the key is never passed on.
"""

import asyncio
import hashlib
from collections.abc import Awaitable
from typing import Any

import aiohttp
import structlog
from aiohttp import web

from services.runner.egress import policy
from services.runner.egress.doors import Door, Refusal
from services.runner.egress.metering import ResponseMeter
from services.runner.egress.room import Room

log = structlog.get_logger()

RESPONSE_HEADERS = ("content-type", "request-id", "retry-after")
ERROR_TEXT = {401: "The model key was refused.", 403: "The model key may not do this."}
QUERIES = frozenset({"", "beta=true"})
MAX_ERROR_BYTES = 64 * 1024


class Proxy:
    """Serves one door's socket."""

    def __init__(self, door: Door, client: aiohttp.ClientSession, base_url: str, max_body_bytes: int) -> None:
        self._door = door
        self._client = client
        self._base_url = base_url
        self._room = Room(door)
        self._checking = asyncio.Lock()
        self.application = web.Application(client_max_size=max_body_bytes)
        self.application.router.add_route("*", "/{path:.*}", self._handle)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            async with self._room.for_body(request.content_length):
                return await self._served(request, await self._admit(request))
        except policy.Refused as refusal:
            digest = hashlib.sha256(f"{request.method} {request.host} {request.path}".encode("utf-8", "surrogatepass")).hexdigest()
            self._door.refuse(Refusal(refusal.reason, digest))
            log.warning("egress_refused", run=str(self._door.key), reason=refusal.reason)
            return _error(400, "invalid_request_error", f"Refused by this deployment's egress policy: {refusal.reason}.")

    async def _served(self, request: web.Request, checked: policy.Checked) -> web.StreamResponse:
        try:
            async with self._room.taken(checked.worst_usd):
                return await self._forward(request, checked)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("egress_upstream_failed", run=str(self._door.key), error=type(error).__name__)
            self._door.charge(ResponseMeter(checked.model, stream=False), 502)
            return _error(502, "api_error", "The model API could not be reached.")

    async def _admit(self, request: web.Request) -> policy.Checked:
        if not self._door.admits(_token(request)):
            raise policy.Refused("token_wrong")
        if self._door.exhausted:
            raise policy.Refused("budget_exceeded")
        if set(request.headers.getall("content-encoding", ())) - {"identity"}:
            raise policy.Refused("encoding_denied")
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge as error:
            raise policy.Refused("body_too_large") from error
        if request.query_string not in QUERIES:
            raise policy.Refused("query_denied")
        async with self._checking:  # in a thread, one of a door at a time: the other runs' doors go on meanwhile
            return await asyncio.to_thread(policy.check, request.method, request.path, body)

    def _headers(self, request: web.Request) -> dict[str, str]:
        """Built anew: nothing of the sandbox's own but the version and the betas that passed."""
        key = self._door.credential.get_secret_value().decode()
        # A subscription's OAuth token goes where the client itself would put it.
        authorization = {"authorization": f"Bearer {key}"} if key.startswith("sk-ant-oat") else {"x-api-key": key}
        beta = policy.betas(request.headers.get("anthropic-beta", ""))
        return {
            "content-type": "application/json",
            "accept-encoding": "identity",
            "anthropic-version": "2023-06-01",
            "user-agent": "async-code-egress",
            **({"anthropic-beta": beta} if beta else {}),
            **authorization,
        }

    async def _forward(self, request: web.Request, checked: policy.Checked) -> web.StreamResponse:
        query = f"?{request.query_string}" if request.query_string else ""
        url = f"{self._base_url}{checked.path}{query}"
        async with self._client.post(url, data=checked.body, headers=self._headers(request), allow_redirects=False) as answer:
            meter = ResponseMeter(checked.model, stream="event-stream" in answer.headers.get("content-type", ""), fast=checked.fast)
            if answer.status != 200:  # noqa: PLR2004 - RFC 9110 §15.3.1; redirects count as errors
                self._door.charge(meter, answer.status if answer.status >= 400 else 502)  # noqa: PLR2004
                return await _passed_on(answer)
            response = web.StreamResponse(headers=_allowed(answer))
            status = answer.status
            try:
                await _streamed(request, response, answer, meter)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                log.warning("egress_upstream_broke_off", run=str(self._door.key), error=type(error).__name__)
                status = 502
                if request.transport is not None:
                    request.transport.close()  # or the sandbox would take what it has for the whole answer
            finally:
                meter.finish()
                self._door.charge(meter, status)
            return response


async def _streamed(request: web.Request, response: web.StreamResponse, answer: aiohttp.ClientResponse, meter: ResponseMeter) -> None:
    """The answer, to its end also where the sandbox hangs up: what it costs stands at the end."""
    listening = await _heard(response.prepare(request))
    async for chunk in answer.content.iter_any():
        meter.feed(chunk)
        listening = listening and await _heard(response.write(chunk))


async def _heard(sending: Awaitable[object]) -> bool:
    """Whether the sandbox was there to take it."""
    try:
        await sending
    except ConnectionResetError:
        return False
    return True


def _token(request: web.Request) -> str:
    header = request.headers.get("authorization", "")
    return request.headers.get("x-api-key") or (header[7:] if header.lower().startswith("bearer ") else "")


def _allowed(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {name: answer.headers[name] for name in RESPONSE_HEADERS if name in answer.headers}


async def _passed_on(answer: aiohttp.ClientResponse) -> web.Response:
    if answer.status < 400:  # noqa: PLR2004 - a redirect is not followed and not shown
        return _error(502, "api_error", "The model API answered with a redirect.")
    if answer.status in ERROR_TEXT:
        return _error(answer.status, "authentication_error", ERROR_TEXT[answer.status])
    return web.Response(status=answer.status, body=await answer.content.read(MAX_ERROR_BYTES), headers=_allowed(answer))


def _error(status: int, kind: str, message: str) -> web.Response:
    document: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": message}}
    return web.json_response(document, status=status)
