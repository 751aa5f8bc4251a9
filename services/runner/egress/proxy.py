"""The door's keeper: takes the sandbox's requests from its socket, checks them, puts the real key in, and meters what comes back.

What may be asked and how it is said is the vendor's; that it is checked, bounded and charged is the same for all. Refusals are answered
with 400, which no agent retries. What the upstream says about the key is never passed on.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Mapping

import aiohttp
import structlog
from aiohttp import web

from services.runner.egress import failed
from services.runner.egress.doors import ANY_PATH, Door, Refusal, Trouble
from services.runner.egress.failed import BAD_GATEWAY, BAD_REQUEST, Failed
from services.runner.egress.metering import NOTHING, ResponseMeter, unanswered
from services.runner.egress.patience import Patience, Unfinished
from services.runner.egress.room import Room
from services.runner.egress.settings import EgressSettings
from services.runner.egress.silence import Heard
from services.runner.egress.upstreams import Upstream
from services.runner.egress.vendors.vendor import Asked, Checked, Refused

log = structlog.get_logger()

RESPONSE_HEADERS = ("content-type", "request-id", "x-request-id", "retry-after")
MAX_ERROR_BYTES = 64 * 1024
_OK = 200  # RFC 9110 §15.3.1


class Proxy:
    """Serves one door's socket."""

    def __init__(self, door: Door, upstream: Upstream, client: aiohttp.ClientSession, settings: EgressSettings) -> None:
        self._door = door
        self._vendor = upstream.vendor
        self._base_url = upstream.base_url
        self._client = client
        self._room = Room(door)
        self._patience = Patience(settings.patience_seconds)
        self._unfinished = Unfinished(settings.patience_seconds)
        self._checking = asyncio.Lock()
        self._under_way = set[asyncio.Task[object]]()
        self._max_body_bytes = settings.max_body_bytes
        self.application = web.Application(client_max_size=settings.max_body_bytes)
        self.application.router.add_route("*", "/" + ANY_PATH, self._handle)

    async def end(self, seconds: float) -> None:
        """Returns when every request has come to its end, and was charged: by itself in so many seconds, or it is given up."""
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        """In a task of its own, which goes on where the connection and what serves it end."""
        task = asyncio.create_task(self._judged(request))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise web.HTTPServiceUnavailable(text="the door closes") from None
            raise

    async def _judged(self, request: web.Request) -> web.StreamResponse:
        try:
            async with self._room.for_body(request.content_length):
                return await self._served(request, await self._admit(request))
        except Refused as refusal:
            if self._door.refuse(Refusal.of(f"{request.method} {request.host} {request.path}", refusal.reason)):
                log.warning("egress_refused", run=str(self._door.key), reason=refusal.reason)
            text = f"Refused by this deployment's egress policy: {refusal.reason}."
            return self._error(BAD_REQUEST, "invalid_request_error", text)

    async def _served(self, request: web.Request, checked: Checked) -> web.StreamResponse:
        if (seconds := self._unfinished.lasting_seconds) is not None:  # what the API did last stands as the door's trouble
            return self._told(failed.UNFINISHED.given_up(seconds))
        async with self._room.taken(checked.worst_usd):
            return await self._forward(request, checked)

    async def _admit(self, request: web.Request) -> Checked:
        if not self._door.admits(self._vendor.token(request.headers)):
            raise Refused("token_wrong")
        self._room.admit()
        if set(request.headers.getall("content-encoding", ())) - {"identity"}:
            raise Refused("encoding_denied")
        if (request.content_length or 0) > self._max_body_bytes:
            raise Refused("body_too_large")
        try:
            asked = Asked(request.method, request.path, request.query_string, await request.read())
        except web.HTTPRequestEntityTooLarge as error:
            raise Refused("body_too_large") from error
        async with self._checking:  # in a thread, one of a door at a time: the other runs' doors go on meanwhile
            return await asyncio.to_thread(self._vendor.check, asked)

    async def _forward(self, request: web.Request, checked: Checked) -> web.StreamResponse:
        """Asks until there is an answer, or a failure that stands."""
        begun = time.monotonic()
        for tries in itertools.count(1):
            answer = await self._tried(request, checked)
            if isinstance(answer, web.StreamResponse):
                return answer
            failure, headers = answer
            pause = self._patience.pause(tries, begun, headers) if failure.temporary else None
            if pause is None:
                self._door.charge(NOTHING, failure.status, failure.trouble)
                return self._told(failure.given_up(time.monotonic() - begun) if failure.temporary else failure)
            self._door.fails(failure.status, failure.trouble)
            log.info("egress_waits", run=str(self._door.key), status=failure.status, trouble=failure.trouble, seconds=pause)
            await asyncio.sleep(pause)
        raise AssertionError("counting has no end")

    async def _tried(self, request: web.Request, checked: Checked) -> "web.StreamResponse | tuple[Failed, Mapping[str, str]]":
        """One try: the answer, passed on; or how it failed, and the headers that say when to come back."""
        answer: aiohttp.ClientResponse | None = None
        try:
            with self._door.silence.watched() as heard:
                async with self._asked(request, checked) as answer:
                    heard()
                    if answer.status == _OK and failed.speaks(answer.headers.get("content-type", "")):
                        self._patience.answered()
                        return await self._streamed(request, checked, answer, heard)
                    body = await answer.content.read(MAX_ERROR_BYTES)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("egress_upstream_failed", run=str(self._door.key), error=type(error).__name__)
            return failed.UNREACHABLE, {}
        except asyncio.CancelledError:
            if answer is None:
                self._door.charge_unanswered(unanswered(checked))
            raise
        return failed.of(self._vendor, answer.status, answer.headers, body), answer.headers

    def _asked(self, request: web.Request, checked: Checked) -> "aiohttp.client._RequestContextManager":  # pyright: ignore[reportPrivateUsage] - the type of what post gives
        """The headers are built anew: nothing of the sandbox's own but what the vendor's rules let pass."""
        key = self._door.credential.get_secret_value().decode()
        ours = {"content-type": "application/json", "accept-encoding": "identity", "user-agent": "async-code-egress"}
        headers = {**ours, **self._vendor.headers(key, request.headers)}
        return self._client.post(self._base_url + checked.target, data=checked.body, headers=headers, allow_redirects=False)

    async def _streamed(self, request: web.Request, checked: Checked, answer: aiohttp.ClientResponse, heard: Heard) -> web.StreamResponse:
        meter = ResponseMeter(self._vendor, checked, stream="event-stream" in answer.headers.get("content-type", ""))
        response = web.StreamResponse(headers=_allowed(answer))
        broke_off, cut = False, True
        try:
            await _copied(request, response, answer, meter, heard)
            cut = False
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("egress_upstream_broke_off", run=str(self._door.key), error=type(error).__name__)
            broke_off = True
            if request.transport is not None:
                request.transport.close()  # or the sandbox would take what it has for the whole answer
        finally:
            self._charge(meter, broke_off=broke_off, cut=cut)
        return response

    def _charge(self, meter: ResponseMeter, *, broke_off: bool, cut: bool) -> None:
        spent = meter.finish(cut=cut)
        if meter.failure or broke_off or not meter.understood:
            self._unfinished.another()
        else:
            self._unfinished.whole()
        if meter.failure:  # also where the connection ends with it: the API has said why
            log.warning("egress_upstream_failed", run=str(self._door.key), status=meter.failure)
            self._door.charge(spent, meter.failure)
        elif broke_off:
            self._door.charge(spent, BAD_GATEWAY, Trouble.BROKE_OFF)
        elif not meter.understood:
            self._door.charge(spent, BAD_GATEWAY, Trouble.NOT_THE_API)
        else:
            self._door.charge(spent, _OK)

    def _told(self, failure: Failed) -> web.Response:
        return self._error(failure.said, failure.kind, failure.words)

    def _error(self, status: int, kind: str, message: str) -> web.Response:
        return web.json_response(self._vendor.error(kind, message), status=status)


async def _copied(
    request: web.Request, response: web.StreamResponse, answer: aiohttp.ClientResponse, meter: ResponseMeter, heard: Heard
) -> None:
    """The answer, to its end also where the sandbox hangs up: what it costs stands at the end."""
    listening = await _heard(response.prepare(request))
    async for chunk in answer.content.iter_any():
        heard(waits=False)
        meter.feed(chunk)
        listening = listening and await _heard(response.write(chunk))
        heard()


async def _heard(sending: Awaitable[object]) -> bool:
    """Whether the sandbox was there to take it. One that goes while it is waited for ends the waiting with another error."""
    try:
        await sending
    except (OSError, aiohttp.ClientConnectionError):
        return False
    return True


def _allowed(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {name: answer.headers[name] for name in RESPONSE_HEADERS if name in answer.headers}
