"""The control socket: the runner opens, asks after and closes doors. Who may connect is decided by the socket's directory and mode."""

import asyncio
import logging
import os
import re
import secrets
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import aiohttp
import structlog
from aiohttp import web
from pydantic import SecretBytes, ValidationError

from services.runner.egress import upstreams
from services.runner.egress.connect import Connect
from services.runner.egress.connections import AddressRefused
from services.runner.egress.doors import Door, DoorKey
from services.runner.egress.messages import PLACE, DoorReport, MadePlace, OpenDoor, OpenedDoor
from services.runner.egress.packages.keeper import Keeper
from services.runner.egress.packages.registries import Registries
from services.runner.egress.proxy import Proxy
from services.runner.egress.settings import EgressSettings
from services.runner.egress.sparing import Sparing
from services.runner.egress.upstreams import UnknownVendor
from services.runner.egress.vendors import price_list
from shared.events.values import Purpose
from shared.secrets import Context, Keyring, SecretsError, WrongContext, model_place

log = structlog.get_logger()

SOCKET_NAME = "model.sock"
MAX_CONNECTIONS = 64
"""Of one door: descriptors are this process's, and a sandbox could take them all from the other runs' doors."""
CLOSING_SECONDS = 2.0
_PLACE = re.compile(PLACE)
_KEY = re.compile(r"(?P<run>[0-9a-f-]{36})\.(?P<fence>[1-9][0-9]{0,18})")


@dataclass
class _Opened:
    directory: Path
    door: Door
    proxy: Proxy | None
    """None: it leads to no model."""
    runner: web.AppRunner
    server: asyncio.Server

    async def close(self) -> None:
        """Take nothing new; what is under way has `CLOSING_SECONDS`, and is charged for what came of it."""
        self.server.close()
        await self.runner.cleanup()
        if self.proxy is not None:
            await self.proxy.end(CLOSING_SECONDS)


class _TurnedAway(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).abort()


class Control:
    """Keeps the open doors."""

    def __init__(self, settings: EgressSettings, keyring: Keyring, client: aiohttp.ClientSession, registries: Registries) -> None:
        self._settings = settings
        self._keyring = keyring
        self._prices = price_list.load(settings.prices_file, refuses_unknown=settings.unknown_model == "refuse")
        self._client = client
        self._registries = registries
        self._doors: dict[str, _Opened] = {}
        self._opening = asyncio.Lock()
        self.application = web.Application(client_max_size=256 * 1024)
        self.application.router.add_post("/doors", self._open)
        self.application.router.add_get("/doors", self._list)
        self.application.router.add_get("/doors/{key}", self._report)
        self.application.router.add_delete("/doors/{key}", self._close)
        self.application.router.add_delete("/doors", self._close_all)
        self.application.router.add_get("/places", self._list_places)
        self.application.router.add_post("/places", self._make_place)
        self.application.router.add_delete("/places/{name}", self._give_up_place)

    async def stop(self) -> None:
        """Close every listener; directories and what was spent stay, so that a restart goes on."""
        for opened in self._doors.values():
            await opened.close()
        self._doors.clear()

    async def _open(self, request: web.Request) -> web.Response:
        try:
            asked = OpenDoor.model_validate_json(await request.read())
        except ValidationError as error:
            raise web.HTTPUnprocessableEntity(text="the request for a door is not valid") from error
        key = DoorKey(asked.run_id, asked.fence)
        directory = self._settings.sockets_dir / (asked.place or str(key))
        try:
            async with self._opening:  # two that ask at once must get one door, and one count of what is spent
                if str(key) not in self._doors:
                    await self._listen(key, asked, directory)
        except UnknownVendor as error:
            raise web.HTTPUnprocessableEntity(text="no such vendor") from error
        except AddressRefused as error:
            log.warning("model_address_refused", run=str(key))
            raise web.HTTPMisdirectedRequest(text="the address is not allowed") from error
        except SecretsError as error:
            log.warning("credential_not_opened", run=str(key), error=type(error).__name__)
            raise web.HTTPForbidden(text="the sealed credential cannot be opened") from error
        return web.json_response(OpenedDoor(directory=str(directory), socket_name=SOCKET_NAME).model_dump())

    async def _listen(self, key: DoorKey, asked: OpenDoor, directory: Path) -> None:
        upstream = upstreams.of(asked.vendor, self._settings, self._prices, asked.base_url) if asked.vendor is not None else None
        journal = self._settings.state_dir / f"{key}.json"
        door = Door(key, asked.token, self._unsealed(asked), asked.max_cost_usd, journal, asked.max_answers)
        proxy = Proxy(door, upstream, self._client, self._settings) if upstream is not None else None
        application = proxy.application if proxy is not None else web.Application()
        if asked.packages:
            Keeper(door, asked.packages, self._registries).join(application, alone=proxy is None)
        Connect(door).join(application)
        said = Sparing(logging.getLogger("aiohttp.server"))
        runner = web.AppRunner(application, access_log=None, logger=said, shutdown_timeout=CLOSING_SECONDS)
        await runner.setup()
        server = await asyncio.get_running_loop().create_unix_server(_bounded(runner.server), sock=_socket(directory))
        self._doors[str(key)] = _Opened(directory, door, proxy, runner, server)
        log.info("door_opened", run=str(key))

    def _unsealed(self, asked: OpenDoor) -> SecretBytes:
        """The key, for the place it was stored for. What was sealed before places were bound goes to its vendor's own API alone.

        A door that leads to no model opens none, whatever it was asked with.
        """
        if asked.vendor is None or asked.credential_id is None:
            return SecretBytes(b"")
        older = Context(purpose=Purpose.MODEL_KEY, owner=asked.owner, credential_id=asked.credential_id, version=asked.version)
        try:
            return self._keyring.open(asked.sealed, replace(older, place=model_place(asked.vendor, asked.base_url)))
        except WrongContext:
            if asked.base_url is not None:
                raise
            return self._keyring.open(asked.sealed, older)

    async def _report(self, request: web.Request) -> web.Response:
        opened = self._doors.get(request.match_info["key"])
        if opened is None:
            raise web.HTTPNotFound(text="no such door")
        return web.json_response(_report(opened.door).model_dump())

    async def _close(self, request: web.Request) -> web.Response:
        key = request.match_info["key"]
        if _KEY.fullmatch(key) is None:
            raise web.HTTPNotFound(text="no such door")
        report = await self._remove(key)
        return web.json_response(report.model_dump())

    async def _list(self, _request: web.Request) -> web.Response:
        return web.json_response(sorted(self._known()))

    async def _close_all(self, _request: web.Request) -> web.Response:
        """A runner that starts holds no run: whatever is left belongs to nobody."""
        for key in self._known():
            await self._remove(key)
        for name in self._places():
            shutil.rmtree(self._settings.sockets_dir / name, ignore_errors=True)
        return web.Response(status=204)

    async def _list_places(self, _request: web.Request) -> web.Response:
        return web.json_response(self._places())

    async def _make_place(self, _request: web.Request) -> web.Response:
        """A directory for a door to come: a sandbox that is made before its run is known can have it mounted."""
        place = MadePlace(name=(name := f"place-{secrets.token_hex(16)}"), directory=str(self._settings.sockets_dir / name))
        _directory(Path(place.directory))
        return web.json_response(place.model_dump())

    async def _give_up_place(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if _PLACE.fullmatch(name) is None:
            raise web.HTTPNotFound(text="no such place")
        shutil.rmtree(self._settings.sockets_dir / name, ignore_errors=True)
        return web.Response(status=204)

    def _places(self) -> list[str]:
        return sorted(path.name for path in self._settings.sockets_dir.iterdir() if _PLACE.fullmatch(path.name))

    def _known(self) -> set[str]:
        """Every door that is open, and every one that left something on the disk."""
        left = {path.name for path in self._settings.sockets_dir.iterdir()} | {
            path.stem for path in self._settings.state_dir.glob("*.json")
        }
        return {name for name in left | self._doors.keys() if _KEY.fullmatch(name)}

    async def _remove(self, key: str) -> DoorReport:
        opened = self._doors.pop(key, None)
        if opened is not None:
            await opened.close()
        directory = self._settings.sockets_dir / key if opened is None else opened.directory
        shutil.rmtree(directory, ignore_errors=True)
        (self._settings.state_dir / f"{key}.json").unlink(missing_ok=True)
        log.info("door_closed", run=key)
        return DoorReport() if opened is None else _report(opened.door)


def _socket(directory: Path) -> socket.socket:
    """The sandbox's socket, bound.

    A sandbox may have the directory mounted already: after a restart its inode must stay, only the socket in it is new.
    """
    _directory(directory)
    path = directory / SOCKET_NAME
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    place = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        bound.bind(f"/proc/self/fd/{place}/{SOCKET_NAME}")  # an address has room for 107 bytes (unix(7)), a state directory may be longer
    finally:
        os.close(place)
    path.chmod(0o666)  # the sandbox's user has no name here; the directory above lets nobody else come this far
    return bound


def _directory(path: Path) -> None:
    path.mkdir(exist_ok=True)
    path.chmod(0o755)  # whatever the umask is: inside the sandbox this directory is the agent's to enter


def _bounded(server: web.Server | None) -> Callable[[], asyncio.BaseProtocol]:
    """The server's protocols, up to `MAX_CONNECTIONS` at a time."""
    if server is None:
        raise RuntimeError("the door's server is not set up")
    return lambda: server() if len(server.connections) < MAX_CONNECTIONS else _TurnedAway()


def _report(door: Door) -> DoorReport:
    return DoorReport.model_validate(door.spending.document() | {"exhausted": door.exhausted, "silent_seconds": door.silence.seconds})
