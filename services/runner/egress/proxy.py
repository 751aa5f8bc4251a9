"""The door's keeper: takes the sandbox's requests from its socket, checks them, puts the real key in, and meters what comes back.

What may be asked and how it is said is the vendor's; that it is checked, bounded and charged is the same for all. Refusals are answered
with 400, which no agent retries. What the upstream says about the key is never passed on.
"""

import asyncio
import hashlib
from collections.abc import Awaitable

import aiohttp
import structlog
from aiohttp import web

from services.runner.egress.doors import Door, Refusal
from services.runner.egress.metering import NOTHING, ResponseMeter
from services.runner.egress.patience import Patience
from services.runner.egress.room import Room
from services.runner.egress.upstreams import Upstream
from services.runner.egress.vendors.vendor import Asked, Checked, Refused

log = structlog.get_logger()

RESPONSE_HEADERS = ("content-type", "request-id", "x-request-id", "retry-after")
ERROR_TEXT = {401: "The model key was refused.", 403: "The model key may not do this."}
MAX_ERROR_BYTES = 64 * 1024
_OK, _ERRORS, _BAD_REQUEST, _BAD_GATEWAY = 200, 400, 400, 502  # RFC 9110 §15


class Proxy:
    """Serves one door's socket."""

    def __init__(self, door: Door, upstream: Upstream, client: aiohttp.ClientSession, max_body_bytes: int) -> None:
        self._door = door
        self._vendor = upstream.vendor
        self._base_url = upstream.base_url
        self._client = client
        self._room = Room(door)
        self._checking = asyncio.Lock()
        self.application = web.Application(client_max_size=max_body_bytes)
        self.application.router.add_route("*", "/{path:.*}", self._handle)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            async with self._room.for_body(request.content_length):
                return await self._served(request, await self._admit(request))
        except Refused as refusal:
            digest = hashlib.sha256(f"{request.method} {request.host} {request.path}".encode("utf-8", "surrogatepass")).hexdigest()
            self._door.refuse(Refusal(refusal.reason, digest))
            log.warning("egress_refused", run=str(self._door.key), reason=refusal.reason)
            text = f"Refused by this deployment's egress policy: {refusal.reason}."
            return self._error(_BAD_REQUEST, "invalid_request_error", text)

    async def _served(self, request: web.Request, checked: Checked) -> web.StreamResponse:
        try:
            async with self._room.taken(checked.worst_usd):
                return await self._forward(request, checked)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("egress_upstream_failed", run=str(self._door.key), error=type(error).__name__)
            self._door.charge(NOTHING, _BAD_GATEWAY)
            return self._error(_BAD_GATEWAY, "api_error", "The model API could not be reached.")

    async def _admit(self, request: web.Request) -> Checked:
        if not self._door.admits(self._vendor.token(request.headers)):
            raise Refused("token_wrong")
        self._room.admit()
        if set(request.headers.getall("content-encoding", ())) - {"identity"}:
            raise Refused("encoding_denied")
        try:
            asked = Asked(request.method, request.path, request.query_string, await request.read())
        except web.HTTPRequestEntityTooLarge as error:
            raise Refused("body_too_large") from error
        async with self._checking:  # in a thread, one of a door at a time: the other runs' doors go on meanwhile
            return await asyncio.to_thread(self._vendor.check, asked)

    async def _forward(self, request: web.Request, checked: Checked) -> web.StreamResponse:
        patience = Patience(self._vendor)
        while True:
            async with self._asked(request, checked) as answer:
                if answer.status == _OK:
                    return await self._streamed(request, checked, answer)
                body = await answer.content.read(MAX_ERROR_BYTES)
            meaning = self._vendor.meaning(answer.status, body) if answer.status >= _ERRORS else _BAD_GATEWAY
            pause = patience.seconds(meaning, answer.headers)
            if pause is None:
                self._door.charge(NOTHING, meaning)
                return self._passed_on(answer, body)
            log.info("egress_waits", run=str(self._door.key), status=answer.status, seconds=pause)
            await asyncio.sleep(pause)

    def _asked(self, request: web.Request, checked: Checked) -> "aiohttp.client._RequestContextManager":  # pyright: ignore[reportPrivateUsage] - the type of what post gives
        """The headers are built anew: nothing of the sandbox's own but what the vendor's rules let pass."""
        key = self._door.credential.get_secret_value().decode()
        ours = {"content-type": "application/json", "accept-encoding": "identity", "user-agent": "async-code-egress"}
        headers = {**ours, **self._vendor.headers(key, request.headers)}
        return self._client.post(self._base_url + checked.target, data=checked.body, headers=headers, allow_redirects=False)

    async def _streamed(self, request: web.Request, checked: Checked, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        meter = ResponseMeter(self._vendor, checked, stream="event-stream" in answer.headers.get("content-type", ""))
        response = web.StreamResponse(headers=_allowed(answer))
        status = answer.status
        try:
            await _copied(request, response, answer, meter)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("egress_upstream_broke_off", run=str(self._door.key), error=type(error).__name__)
            status = _BAD_GATEWAY
            if request.transport is not None:
                request.transport.close()  # or the sandbox would take what it has for the whole answer
        finally:
            self._door.charge(meter.finish(), status)
        return response

    def _passed_on(self, answer: aiohttp.ClientResponse, body: bytes) -> web.Response:
        if answer.status < _ERRORS:  # a redirect is not followed and not shown
            return self._error(_BAD_GATEWAY, "api_error", "The model API answered with a redirect.")
        if answer.status in ERROR_TEXT:
            return self._error(answer.status, "authentication_error", ERROR_TEXT[answer.status])
        return web.Response(status=answer.status, body=body, headers=_allowed(answer))

    def _error(self, status: int, kind: str, message: str) -> web.Response:
        return web.json_response(self._vendor.error(kind, message), status=status)


async def _copied(request: web.Request, response: web.StreamResponse, answer: aiohttp.ClientResponse, meter: ResponseMeter) -> None:
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


def _allowed(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {name: answer.headers[name] for name in RESPONSE_HEADERS if name in answer.headers}
