"""The API under a steady hundred requests a second, beside a bare FastAPI and asyncpg process on the same Postgres, in turn."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

from benchmarks import peer, servers
from benchmarks.figures import LOAD, Answer, Row, Say, load, milliseconds, ratio
from benchmarks.traffic import Passed, steady
from tests.integration.deploy.embedded.auth_server import auth_server
from tests.integration.services.gateway.stack import Gateway, Person
from tests.servers.nats import free_port
from tests.servers.postgres import PostgresDatabase

RATE = 100
_PROMPT = "Rename the function `load` to `read_all` wherever it is used, and say so in the change log. " * 5
_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class _Server:
    """A server, its process, and what a request to it carries."""

    name: str
    url: str
    pid: int
    headers: dict[str, str] = field(default_factory=dict[str, str])
    project: str = ""


async def measure(seconds: float, rounds: int, say: Say) -> Answer:
    """`rounds` times each server and method for `seconds`."""
    passed: dict[tuple[str, str], list[Passed]] = {}
    async with _both() as both:
        for number in range(-1, rounds):
            for server in both:
                for method, send in (("POST", _post(server)), ("GET", _get(server))):
                    async with aiohttp.ClientSession(server.url, headers=server.headers) as session:
                        went = await steady(send(session), rate=RATE, seconds=seconds if number >= 0 else min(seconds, 1), pid=server.pid)
                    if number >= 0:  # the first warms up
                        passed.setdefault((method, server.name), []).append(went)
            say(f"edge: round {number + 1} of {rounds}")
    return Answer("edge", "What does a request cost at a steady 100 a second?", _METHOD, tuple(_rows(passed)))


def _rows(passed: dict[tuple[str, str], list[Passed]]) -> list[Row]:
    rows: list[Row] = []
    for (method, name), slices in sorted(passed.items(), reverse=True):
        seconds = [each for part in slices for each in part.seconds]
        cpu = sum(part.cpu_seconds for part in slices) / len(seconds) * 1000
        rows.append({"what": f"{method} /v1/tasks", "server": name, **milliseconds(seconds), "CPU ms / request": cpu, LOAD: load()})
    for method in ("POST", "GET"):
        ours, bare = (next(row for row in rows if (row["what"], row["server"]) == (f"{method} /v1/tasks", name)) for name in _NAMES)
        between = {key: ratio(_number(ours[key]), _number(bare[key])) for key in ("p50 ms", "p99 ms", "CPU ms / request")}
        rows.append({**ours, "server": "gateway / bare (×)", **between, LOAD: load()})
    return rows


def _number(value: object) -> float:
    return float(str(value))


_NAMES = ("gateway", "bare")
_Send = Callable[[aiohttp.ClientSession], Callable[[int], Awaitable[None]]]


def _post(server: _Server) -> _Send:
    def send(session: aiohttp.ClientSession) -> Callable[[int], Awaitable[None]]:
        async def one(number: int) -> None:
            body = {"project_id": server.project, "agent": "shell", "prompt": f"{number}: {_PROMPT}"}
            async with session.post("/v1/tasks", json=body) as answer:
                await _must_be(answer, 201)

        return one

    return send


def _get(server: _Server) -> _Send:
    del server

    def send(session: aiohttp.ClientSession) -> Callable[[int], Awaitable[None]]:
        async def one(_number: int) -> None:
            async with session.get("/v1/tasks") as answer:
                await _must_be(answer, 200)

        return one

    return send


async def _must_be(answer: aiohttp.ClientResponse, status: int) -> None:
    text = await answer.text()
    if answer.status != status:
        raise RuntimeError(f"{answer.url} answered {answer.status}: {text[:500]}")


@contextlib.asynccontextmanager
async def _both() -> AsyncGenerator[tuple[_Server, _Server]]:
    async with servers.nats() as nats, servers.database() as database:
        with TemporaryDirectory(prefix="async-code-edge-") as name, auth_server(database, Path(name)) as auth:
            gateway = Gateway(nats, database, auth, Path(name))
            await gateway.start()
            try:
                async with gateway.person("measured") as person, _bare(database) as bare:
                    yield await _ours(gateway, person), bare
            finally:
                await gateway.stop()


async def _ours(gateway: Gateway, person: Person) -> _Server:
    if gateway.process is None:
        raise RuntimeError("the gateway does not run")
    project = await person.project("https://git.example.org/measured.git")
    return _Server("gateway", gateway.url, gateway.process.pid, {"authorization": f"Bearer {person.token}"}, project)


@contextlib.asynccontextmanager
async def _bare(database: PostgresDatabase) -> AsyncGenerator[_Server]:
    superuser = await database.connect()
    await superuser.execute(peer.TABLE)
    await superuser.close()
    port = free_port()
    environment = {"PATH": os.environ["PATH"], **database.environment("gateway")}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "benchmarks.peer", str(port), env=environment, cwd=_ROOT)
    try:
        url = f"http://127.0.0.1:{port}"
        await _listens(url, process)
        yield _Server("bare", url, process.pid, project="none")
    finally:
        process.terminate()
        await process.wait()


async def _listens(url: str, process: asyncio.subprocess.Process) -> None:
    async with aiohttp.ClientSession(url) as session, asyncio.timeout(30):
        while process.returncode is None:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with session.get("/v1/tasks") as answer:
                    return await _must_be(answer, 200)
            await asyncio.sleep(0.05)
    raise RuntimeError("the bare server did not start")


_METHOD = (
    "A gateway process with its real NATS, Postgres (fsync) and auth server, and no other service; one signed-in person. The peer checks "
    "nothing, knows nobody and sends nothing on: one insert per POST, one select of 50 rows per GET. An open loop of 100 requests a "
    "second; a request's time counts from when it was due, by the client's monotonic clock. CPU: the server process's own, from the "
    "kernel's accounting."
)
