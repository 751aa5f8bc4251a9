"""A process as the supervisor sees it, and the ways to ask whether one is ready.

Values only; the asking is one function without state, used by the supervisor while it starts and by `status` at any time.
"""

import asyncio
import contextlib
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.embedded.users import User

PROBE_SECONDS = 3.0


@dataclass(frozen=True)
class HttpReady:
    """Ready when this path answers 200."""

    port: int
    path: str = "/readyz"
    host: str = "127.0.0.1"


@dataclass(frozen=True)
class TcpReady:
    """Ready when the port takes connections."""

    port: int


@dataclass(frozen=True)
class CommandReady:
    """Ready when the command ends with 0."""

    argv: tuple[str, ...]


@dataclass(frozen=True)
class Finished:
    """Ready when the process itself has ended with 0: a step, not a server."""


Ready = HttpReady | TcpReady | CommandReady | Finished


@dataclass(frozen=True, kw_only=True)
class Process:
    """What to start, as whom, when, and how to stop it. Neither `argv` nor `env` ever holds a secret, only paths of files."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    user: User
    cwd: Path
    ready: Ready
    after: tuple[str, ...] = ()
    stop_signal: signal.Signals = signal.SIGTERM
    grace_seconds: float = 40.0
    """Longer than the 30 s that a service gives its own handlers (shared/telemetry/service.py)."""
    umask: int = field(default=0o077)


async def is_ready(ready: Ready) -> bool:
    """Whether a server is ready now. A step (`Finished`) is never asked."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            match ready:
                case HttpReady():
                    return await _answers_ok(ready)
                case TcpReady():
                    _reader, writer = await asyncio.open_connection("127.0.0.1", ready.port)
                    await _close(writer)
                    return True
                case CommandReady():
                    return await _ends_well(ready.argv)
                case Finished():
                    return False
    except (OSError, TimeoutError):
        return False


async def _answers_ok(ready: HttpReady) -> bool:
    reader, writer = await asyncio.open_connection(ready.host, ready.port)
    try:
        writer.write(f"GET {ready.path} HTTP/1.1\r\nHost: {ready.host}\r\nConnection: close\r\n\r\n".encode())
        status = await reader.readline()
    finally:
        await _close(writer)
    return status.split(b" ")[1:2] == [b"200"]


async def _ends_well(argv: tuple[str, ...]) -> bool:
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, env={})
    try:
        return await process.wait() == 0
    except asyncio.CancelledError:
        process.kill()
        raise


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
