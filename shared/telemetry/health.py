"""`GET /healthz` (the process runs) and `GET /readyz` (it can do its work), for supervisors and load balancers.

It answers these two and nothing else, reads no body, and gives a reason only as far as it holds no secret.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Self

import structlog
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.telemetry import redaction

log = structlog.get_logger(__name__)

Checks = Mapping[str, Callable[[], Awaitable[None]]]
"""By name: returns when all is well, raises what is wrong."""

_CHECK_SECONDS = 3
_REQUEST_SECONDS = 5
_REQUEST_BYTES = 8192
_REASON_CHARACTERS = 200


class HealthSettings(BaseSettings):
    """`HEALTH_HOST`, `HEALTH_PORT`. Port 0 takes a free one."""

    model_config = SettingsConfigDict(env_prefix="HEALTH_", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)


class HealthServer:
    """A listener of its own beside whatever else the process does; an async context manager.

    `about` is what `/readyz` tells beside its checks: names that the process itself made.
    """

    def __init__(self, host: str, port: int, checks: Checks, about: Mapping[str, Sequence[str]] | None = None) -> None:
        self._host = host
        self._about = about
        self._wanted_port = port
        self._checks = checks
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        self._server = await asyncio.start_server(self._serve, self._host, self._wanted_port, limit=_REQUEST_BYTES)

    async def stop(self) -> None:
        """Close the listener."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_about: object) -> None:
        await self.stop()

    @property
    def port(self) -> int:
        """The port that was taken."""
        if self._server is None:
            raise RuntimeError("the health server is not started")
        return self._server.sockets[0].getsockname()[1]

    async def report(self) -> tuple[bool, dict[str, str]]:
        """Whether all checks pass, and what each says."""
        answers = await asyncio.gather(*(_ask(name, check) for name, check in self._checks.items()))
        said = dict(zip(self._checks, answers, strict=True))
        return all(answer == "ok" for answer in answers), said

    def _told(self) -> dict[str, Any]:
        return {} if self._about is None else {"about": {name: list(values) for name, values in self._about.items()}}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            status, body = await self._answer(head.split(b"\r\n", 1)[0])
            writer.write(_response(status, body, with_body=not head.startswith(b"HEAD ")))
            await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # not a request: there is nobody to answer
        finally:
            writer.close()

    async def _answer(self, request_line: bytes) -> tuple[HTTPStatus, dict[str, Any]]:
        match request_line.split(b" "):
            case [b"GET" | b"HEAD", b"/healthz", _]:
                return HTTPStatus.OK, {"healthy": True}
            case [b"GET" | b"HEAD", b"/readyz", _]:
                ready, said = await self.report()
                return HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE, {"ready": ready, "checks": said, **self._told()}
            case [b"GET" | b"HEAD", _, _]:
                return HTTPStatus.NOT_FOUND, {"paths": ["/healthz", "/readyz"]}
            case _:
                return HTTPStatus.METHOD_NOT_ALLOWED, {"methods": ["GET"]}


async def _ask(name: str, check: Callable[[], Awaitable[None]]) -> str:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            await check()
    except TimeoutError:
        return f"no answer within {_CHECK_SECONDS} seconds"
    except Exception as error:  # noqa: BLE001 - whatever is wrong is the answer
        log.warning("not_ready", check=name, error=type(error).__name__)
        return redaction.redact_text(f"{type(error).__name__}: {error}")[:_REASON_CHARACTERS]
    return "ok"


def _response(status: HTTPStatus, body: dict[str, Any], *, with_body: bool) -> bytes:
    content = json.dumps(body).encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (content if with_body else b"")
