"""Serves a script on loopback, to agents of either vendor at once.

It is the other end of the real agent and the real egress process; only the thinking is scripted. It holds no key; the one it is sent is
checked only where it was told which to expect, so that tests can see which key arrived.
"""

import asyncio
import hmac
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from aiohttp import web

from deploy.embedded.scripted.anthropic import Messages
from deploy.embedded.scripted.openai import Responses
from deploy.embedded.scripted.steps import Cut, Drop, Fail, FailWithin, Fault, Garble, Hang, Next, Redirect, Say, Script, Step, upcoming
from deploy.embedded.scripted.vendor import Turn, Vendor

MAX_BODY = 32 * 1024 * 1024
VENDORS: tuple[Vendor, ...] = (Messages(), Responses())


class ScriptedModel:
    """Serves one script. `requests` and `headers` keep what it was sent, for tests to look at."""

    def __init__(
        self,
        steps: Sequence[Step] | Script,
        *,
        keys: Mapping[str, str] | None = None,
        input_tokens: int = 1_000,
        output_tokens: int = 200,
    ) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self._keys = keys or {}
        """By vendor; any is taken where none is given."""
        self._tokens = (input_tokens, output_tokens)
        self._runner: web.AppRunner | None = None
        self._stopping = asyncio.Event()
        self.play(steps)

    def play(self, steps: Sequence[Step] | Script) -> None:
        """From now on, these steps."""
        self._script: Script = steps if callable(steps) else lambda _body: steps
        self._served: Counter[tuple[str, int]] = Counter()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen; gives the base URL."""
        app = web.Application(client_max_size=MAX_BODY)
        for vendor in VENDORS:
            app.router.add_post(vendor.path, self._of(vendor))
        app.router.add_post("/v1/messages/count_tokens", self._count)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        address = cast("tuple[str, int]", self._runner.addresses[0])
        return f"http://{address[0]}:{address[1]}"

    async def stop(self) -> None:
        """Close every connection."""
        self._stopping.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _count(self, request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({"input_tokens": self._tokens[0]})

    def _of(self, vendor: Vendor) -> Callable[[web.Request], Any]:
        async def answer(request: web.Request) -> web.StreamResponse:
            self.headers.append(dict(request.headers))
            if vendor.name in self._keys and not hmac.compare_digest(vendor.key(request.headers), self._keys[vendor.name]):
                return web.json_response(vendor.error("authentication_error"), status=401)
            body = cast("dict[str, Any]", await request.json())
            self.requests.append(body)
            coming = self._next(vendor, body)
            turn = Turn(body, coming.work, len(self.requests), vendor.done(body), *self._tokens)
            return await self._answered(request, vendor, turn, self._fault(vendor.conversation(body), coming))

        return answer

    def _next(self, vendor: Vendor, body: dict[str, Any]) -> Next:
        if not vendor.works(body):
            return Next(Say("A task"))
        return upcoming(self._script(body), vendor.done(body))

    def _fault(self, conversation: str, coming: Next) -> Fault | None:
        for index, fault in coming.faults:
            if fault.times is None or self._served[conversation, index] < fault.times:
                self._served[conversation, index] += 1
                return fault
        return None

    async def _answered(self, request: web.Request, vendor: Vendor, turn: Turn, fault: Fault | None) -> web.StreamResponse:
        if isinstance(fault, Fail | Redirect | Garble):
            return _instead(vendor, fault)
        if isinstance(fault, Hang) and fault.after == 0:
            await self._stopping.wait()
        if isinstance(fault, Drop) or (isinstance(fault, Hang) and fault.after == 0):
            if request.transport is not None:
                request.transport.close()
            return web.Response()
        if not turn.body.get("stream") and fault is None:
            return web.json_response(vendor.whole(turn))
        if isinstance(fault, FailWithin):
            events = vendor.events(turn)
            return await self._streamed(request, [*events[: len(events) // 2], vendor.failure(fault.kind)], None)
        return await self._streamed(request, vendor.events(turn), fault)

    async def _streamed(self, request: web.Request, events: Sequence[dict[str, Any]], fault: Cut | Hang | None) -> web.StreamResponse:
        if isinstance(fault, Cut):
            events = events[: len(events) // 2]
        elif isinstance(fault, Hang):
            events = events[: fault.after]
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for event in events:
            await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        if isinstance(fault, Hang):
            await self._stopping.wait()
        if fault is not None and request.transport is not None:
            request.transport.close()
        return response


def _instead(vendor: Vendor, fault: Fail | Redirect | Garble) -> web.Response:
    """What is answered in the place of an answer."""
    match fault:
        case Fail():
            return web.json_response(vendor.error(fault.kind), status=fault.status, headers=fault.headers)
        case Redirect():
            return web.Response(status=307, headers={"location": fault.location})
        case Garble():
            return web.Response(body=fault.body, headers={"content-type": fault.content_type})
