"""A process in a container: what is asked for, what has begun, and how it is fed and waited for."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from services.runner.docker_stream import ProcessStream
from services.runner.errors import EngineUnreachable, SandboxUnavailable
from services.runner.sandbox import Stream

LOOK_SECONDS = 10.0
"""How long a process may be silent before the container is looked at: costs one question to the engine."""


@dataclass(frozen=True)
class Exec:
    """A process to start in a container: as whom, where, with what."""

    user: str
    argv: tuple[str, ...]
    directory: str = "/"
    environment: dict[str, str] = field(default_factory=dict[str, str])


@dataclass
class Begun:
    """A process of a container, and its input and output."""

    exec_id: str
    stream: ProcessStream


async def no_input(stream: ProcessStream) -> None:
    """Nothing is given to it."""
    stream.end_input()


async def fed(feed: Callable[[ProcessStream], Awaitable[None]], stream: ProcessStream) -> None:
    """A program may end without reading its input."""
    with contextlib.suppress(ConnectionError):
        await feed(stream)


async def together(*steps: Awaitable[object]) -> None:
    """Takes steps at the same time, each to its end; then the first failure is raised, where there was one."""
    for ended in await asyncio.gather(*steps, return_exceptions=True):
        if isinstance(ended, BaseException):
            raise ended


async def heard(stream: ProcessStream, look: Callable[[], Awaitable[None]]) -> AsyncIterator[tuple[Stream, bytes]]:
    """What it says until it ends. Where its container died, the stream does not always end (seen with gVisor): then `look` raises."""
    while True:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                piece = await stream.read()
        except TimeoutError:
            with contextlib.suppress(EngineUnreachable):  # nothing is known: what is said, or the end of the stream, will tell
                await look()
            continue
        if piece is None:
            return
        yield piece


@contextlib.asynccontextmanager
async def within(seconds: float) -> AsyncGenerator[None]:
    """Raises SandboxUnavailable where what is inside takes longer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise SandboxUnavailable(f"a step in the sandbox took over {seconds} s") from error
