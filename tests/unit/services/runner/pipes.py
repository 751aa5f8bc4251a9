"""A local process as one end of a conversation."""

import asyncio

from services.runner.sandbox import Stream


class Pipes:
    """The script's own input and output."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def read(self) -> tuple[Stream, bytes] | None:
        assert self._process.stdout is not None
        piece = await self._process.stdout.read(7)  # answers come in pieces
        return (Stream.STDOUT, piece) if piece else None

    async def write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        await self._process.stdin.drain()
