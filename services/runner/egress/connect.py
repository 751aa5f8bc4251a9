"""CONNECT (RFC 9110 §9.3.6): a request for a tunnel to a host, which no door opens. Said so with a reason, and told."""

from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from services.runner.egress.doors import Door, Refusal

log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Connect:
    """Stands before one door's application: a tunnel's request has no path that a route could be found by."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def join(self, application: web.Application) -> None:
        """Take the requests for tunnels; everything else is the application's own."""

        @web.middleware
        async def before(request: web.Request, handler: Handler) -> web.StreamResponse:
            return self._refused(request) if request.method == "CONNECT" else await handler(request)

        application.middlewares.append(before)

    def _refused(self, request: web.Request) -> web.Response:
        host = request.raw_path.rpartition(":")[0]
        if self._door.refuse(Refusal.of(f"CONNECT {request.raw_path}", "connect_denied", host=host)):
            log.warning("egress_refused", run=str(self._door.key), reason="connect_denied")
        refused = web.Response(status=403, text="Refused by this deployment's egress policy: connect_denied.\n")
        refused.force_close()
        return refused
