"""Running scripts in a sandbox and hearing what they say."""

import asyncio
from collections.abc import Callable

from services.runner.sandbox import Program, Sandbox, SandboxSpec, Stream
from shared.events.values import Limits

SMALL = Limits(memory_mib=256, disk_mib=32, pids=64, cpus=2, wall_seconds=60, idle_seconds=60)

MakeSpec = Callable[..., SandboxSpec]


class Said:
    """What a program wrote."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.err = bytearray()
        self.spoke = asyncio.Event()

    async def take(self, stream: Stream, data: bytes) -> None:
        (self.out if stream is Stream.STDOUT else self.err).extend(data)
        self.spoke.set()

    @property
    def text(self) -> str:
        return self.out.decode()


async def bash(sandbox: Sandbox, script: str, *, code: int | None = 0) -> str:
    """Runs a script as the agent and gives what it printed."""
    said = Said()
    ended = await sandbox.run(Program(argv=("/bin/bash", "-euo", "pipefail", "-s"), stdin=script.encode()), said.take)
    assert code is None or ended == code, (ended, said.text, said.err.decode())
    return said.text
