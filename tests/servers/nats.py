"""A real NATS server of a test's own: rendered, started on free ports in a temporary directory, provisioned, and killed at will.

async def test_x(nats_server: NatsServer) -> None:
bus = await Bus.connect(nats_server.settings("runner"))
"""

import asyncio
import re
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.nats.apply import ApplySettings, apply
from deploy.nats.binary import server_binary
from deploy.nats.render import RenderSettings, render
from shared.bus.settings import BusSettings

_READY = re.compile(rb"Server is ready")


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class NatsServer:
    """One server process and its directory; the port and what is stored survive `kill` and `restart`."""

    def __init__(self, directory: Path, *, store_bytes: int = 1024**3, sync_interval: str = "2m") -> None:
        self.rendered = RenderSettings(
            state=directory, port=free_port(), monitor_port=free_port(), store_bytes=store_bytes, sync_interval=sync_interval
        )
        self.log_file = directory / "nats.log"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self.rendered.port}"

    def settings(self, user: str, *, connect_seconds: float = 10, grace_seconds: float = 2) -> BusSettings:
        """The bus settings of `user` ("runner")."""
        return BusSettings(
            url=self.url,
            user=user,
            nkey_file=self.rendered.seed_file(user),
            connect_seconds=connect_seconds,
            grace_seconds=grace_seconds,
        )

    async def start(self) -> None:
        """Render and start; returns when the server is ready."""
        render(self.rendered)
        self._process = await asyncio.create_subprocess_exec(
            server_binary(), "--config", self.rendered.config_file, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        assert self._process.stderr is not None
        with self.log_file.open("ab") as log:
            while line := await self._process.stderr.readline():
                log.write(line)
                if _READY.search(line):
                    break
            else:
                raise RuntimeError(f"nats-server did not start: {self.log_file.read_text()}")
        self._drain = asyncio.create_task(self._keep_log(self._process.stderr))

    async def provision(self) -> None:
        """Create the streams and consumers."""
        await apply(ApplySettings(url=self.url, state=self.rendered.state, store_bytes=self.rendered.store_bytes, deadline_seconds=20))

    async def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        await self._end(signal.SIGKILL)

    async def freeze(self) -> None:
        """SIGSTOP: connections stay open and nobody answers. `thaw` undoes it.

        The signal takes its time: on a busy machine the server's threads run on for a moment, and answer.
        """
        self._signal(signal.SIGSTOP)
        async with asyncio.timeout(10):
            while not self._stopped():  # noqa: ASYNC110 - the kernel tells nobody but the parent's wait(), which asyncio has
                await asyncio.sleep(0.001)

    async def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    async def stop(self) -> None:
        """SIGTERM, and wait."""
        await self._end(signal.SIGTERM)

    async def restart(self) -> None:
        """Start again after `kill` or `stop`, with what is on disk."""
        await self.start()

    async def _keep_log(self, stream: asyncio.StreamReader) -> None:
        with self.log_file.open("ab", buffering=0) as log:
            while line := await stream.readline():
                log.write(line)

    def _stopped(self) -> bool:
        """Whether every thread is in state T (proc(5))."""
        assert self._process is not None
        threads = Path(f"/proc/{self._process.pid}/task").glob("*/stat")
        return all(thread.read_text().rpartition(")")[2].split()[0] == "T" for thread in threads)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)  # a frozen server hears SIGTERM only when it runs again
        await self._process.wait()
        await self._drain
        self._process = None


async def running(directory: Path, *, store_bytes: int = 1024**3) -> AsyncIterator[NatsServer]:
    """Yield a server, started and provisioned; it is stopped when the caller goes on."""
    server = NatsServer(directory, store_bytes=store_bytes)
    await server.start()
    try:
        await server.provision()
        yield server
    finally:
        await server.stop()


@pytest.fixture
async def nats_server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """A fresh, provisioned server for one test (about half a second)."""
    async for server in running(tmp_path / "nats"):
        yield server
