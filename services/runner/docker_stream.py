"""The engine's hijacked stream of an exec or of a container's first process: its input and its two outputs over one socket, in asyncio.

Written out by hand because docker-py hands over the socket below a buffer that may already have eaten the first output. Engine API 1.41,
`POST /exec/{id}/start` and `POST /containers/{id}/attach`: after the response's head come frames of an 8-byte head (stream, 0, 0, 0,
length) and their bytes.
"""

import asyncio
import contextlib
import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from services.runner.errors import EngineUnreachable, SandboxGone, SandboxUnavailable
from services.runner.sandbox import Stream

_STREAMS = {1: Stream.STDOUT, 2: Stream.STDERR}
_PIECE = 64 * 1024
_SWITCHING = 101
_OK = 200


@dataclass(frozen=True)
class Endpoint:
    """Where the engine listens: `unix:///path` or `tcp://host:port` (a filtering proxy; TLS is its business)."""

    url: str

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A fresh connection. Raises EngineUnreachable."""
        parts = urlsplit(self.url)
        try:
            if parts.scheme == "unix":
                return await asyncio.open_unix_connection(parts.path)
            return await asyncio.open_connection(parts.hostname, parts.port)
        except OSError as error:
            raise EngineUnreachable(f"no Docker engine at {self.url}") from error


class ProcessStream:
    """A running process's input and output."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._stream = Stream.STDOUT
        self._left = 0

    @classmethod
    async def start(cls, endpoint: Endpoint, exec_id: str) -> "ProcessStream":
        """Starts a created exec. Raises SandboxGone when its container is, SandboxUnavailable when the engine refuses."""
        return await cls._hijacked(endpoint, f"/exec/{exec_id}/start", json.dumps({"Detach": False, "Tty": False}).encode())

    @classmethod
    async def attach(cls, endpoint: Endpoint, container_id: str) -> "ProcessStream":
        """Joins the first process of a running container. Raises as `start`."""
        return await cls._hijacked(endpoint, f"/containers/{container_id}/attach?stream=1&stdin=1&stdout=1&stderr=1", b"")

    @classmethod
    async def _hijacked(cls, endpoint: Endpoint, path: str, body: bytes) -> "ProcessStream":
        reader, writer = await endpoint.connect()
        try:
            return await cls._switched(reader, writer, path, body)
        except BaseException:
            writer.close()
            raise

    @classmethod
    async def _switched(cls, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: bytes) -> "ProcessStream":
        head = (
            f"POST /v1.41{path} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n"
            f"Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            writer.write(head.encode() + body)
            await writer.drain()
            answer = await reader.readuntil(b"\r\n\r\n")
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise EngineUnreachable("the Docker engine broke off") from error
        status = int(answer.split(b" ", 2)[1])
        if status in (_SWITCHING, _OK):
            return cls(reader, writer)
        refusal = await reader.read(_PIECE)
        error_class = SandboxGone if status in (404, 409) else SandboxUnavailable
        raise error_class(f"the engine answered {status}: {refusal[:500]!r}")

    async def read(self) -> tuple[Stream, bytes] | None:
        """The next piece of output; None at the end."""
        try:
            while self._left == 0:
                frame = await self._reader.readexactly(8)
                self._stream = _STREAMS.get(frame[0], Stream.STDOUT)
                self._left = int.from_bytes(frame[4:], "big")
            piece = await self._reader.read(min(self._left, _PIECE))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        self._left -= len(piece)
        return (self._stream, piece) if piece else None

    async def write(self, data: bytes) -> None:
        """Gives the program input; a program that does not read lets this wait."""
        self._writer.write(data)
        await self._writer.drain()

    def end_input(self) -> None:
        """Nothing more will be written."""
        self._writer.write_eof()

    async def close(self) -> None:
        """Lets go of the connection. The program is not ended by that."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
