"""Doors without a model, as a sandbox sees them, and this machine's own package clients behind them."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from services.runner.egress.messages import DoorReport
from tests.servers.egress import EgressProcess

BASE = "http://127.0.0.1:8090"
JSON = "application/vnd.pypi.simple.v1+json"
ALL = ("pip", "npm", "cargo", "go", "debian")


class Sandboxes:
    """Doors without a model, as a sandbox sees them."""

    def __init__(self, egress: EgressProcess) -> None:
        self.egress = egress

    async def door(self, *families: str) -> "Sandbox":
        asked = self.egress.packages_door(families)
        return Sandbox(self.egress, asked, await self.egress.open(asked))


class Sandbox:
    def __init__(self, egress: EgressProcess, asked: dict[str, Any], socket: Path) -> None:
        self._egress = egress
        self._asked = asked
        self.socket = socket

    async def get(self, path: str, *, method: str = "GET", accept: str = "*/*", data: bytes | None = None) -> tuple[int, bytes]:
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(self.socket))) as session,
            session.request(method, f"{BASE}/packages/{path}", headers={"accept": accept}, data=data) as answer,
        ):
            return answer.status, await answer.read()

    async def link(self) -> str:
        """Where the index says that the wheel lies."""
        _, index = await self.get("pip/simple/demo/", accept=JSON)
        return json.loads(index)["files"][0]["url"].removeprefix(f"{BASE}/packages/")

    async def raw(self, request: bytes) -> bytes:
        """The first line of the answer to these very bytes."""
        reader, writer = await asyncio.open_unix_connection(str(self.socket))
        writer.write(request)
        async with asyncio.timeout(20):
            line = await reader.readline()
        writer.close()
        return line

    async def report(self) -> DoorReport:
        return await self._egress.report(self._asked)

    async def reasons(self) -> set[str]:
        return {refusal.reason for refusal in (await self.report()).refusals}

    @asynccontextmanager
    async def port(self) -> AsyncGenerator[int]:
        """A joint as the image has one: a port on loopback that leads to the socket."""

        async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_unix_connection(str(self.socket))
            await asyncio.gather(_piped(reader, back), _piped(there, writer))

        server = await asyncio.start_server(join, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]


async def _piped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def client(*argv: str, home: Path, **environment: str) -> str:
    """A real client, with nothing of this machine's own configuration."""
    own = {"PATH": os.environ["PATH"], "HOME": str(home), "PIP_CONFIG_FILE": os.devnull, **environment}
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=home, env=own, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(120):
        said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()
