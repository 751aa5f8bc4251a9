"""Doors by the egress process's control socket. What passes through here is ciphertext and counts, never a key."""

import json
import secrets
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import structlog
from pydantic import SecretStr, TypeAdapter, ValidationError

from services.runner.doors import Door, DoorRequest, Place, Refused, Spending
from services.runner.egress.messages import DoorReport, MadePlace, OpenDoor, OpenedDoor
from services.runner.errors import CredentialMissing, ModelAddressRefused
from shared.bus.connection import Bus
from shared.bus.errors import Refused as AnswerRefused
from shared.bus.errors import Transient
from shared.events.ids import RunId
from shared.events.questions import AskSealedCredential
from shared.events.values import Usage

log = structlog.get_logger()

_NAMES = TypeAdapter(list[str])
TIMEOUT = aiohttp.ClientTimeout(total=15)


class EgressUnreachable(Transient):
    """The egress process does not answer."""


class EgressClient:
    """The Egress of a deployment with models."""

    def __init__(self, bus: Bus, control_socket: Path) -> None:
        self._bus = bus
        self._control_socket = control_socket
        self._opened: dict[str, OpenDoor] = {}
        self._places: set[str] = set()
        """Those that a sandbox has or may get."""
        self._suspected: frozenset[str] = frozenset()

    async def open(self, request: DoorRequest) -> Door:
        """See Egress."""
        wanted = OpenDoor.model_construct(
            run_id=request.run_id,
            fence=request.fence,
            token=SecretStr(secrets.token_urlsafe(32)),
            owner=request.owner,
            max_cost_usd=request.max_cost_usd,
            max_answers=request.max_answers,
            place=request.place.name if request.place is not None else None,
            packages=request.packages,
            **(await self._to_a_model(request) if request.vendor is not None else {}),
        )
        self._opened[_key(request.run_id, request.fence)] = wanted  # before it is there: a sweep must not take it for left over
        try:
            opened = await self._ask_for(wanted)
        except BaseException:
            self._opened.pop(_key(request.run_id, request.fence))
            raise
        return Door(Path(opened.directory), opened.socket_name, wanted.token)

    async def place(self) -> Place:
        """See Egress."""
        status, body = await self._call("POST", "/places")
        try:
            made = MadePlace.model_validate_json(body)
        except ValidationError as error:
            raise EgressUnreachable(f"the egress process answered {status}") from error
        self._places.add(made.name)
        return Place(made.name, Path(made.directory))

    async def give_up(self, place: Place) -> None:
        """See Egress."""
        self._places.discard(place.name)  # also where nobody answers: then a sweep gives it up
        await self._call("DELETE", f"/places/{place.name}")

    async def _to_a_model(self, request: DoorRequest) -> dict[str, Any]:
        """What a door to a model needs beside the rest: whose it is, and the key, sealed."""
        if request.credential is None:
            raise CredentialMissing(f"run {request.run_id} names no model key")
        credential_id, version = request.credential.credential_id, request.credential.version
        question = AskSealedCredential(owner=request.owner, task_id=request.task_id, credential_id=credential_id, version=version)
        try:
            answer = await self._bus.ask(question)
        except AnswerRefused as error:
            raise CredentialMissing(f"the model key of run {request.run_id} is not there any more") from error
        key = {"credential_id": credential_id, "version": version, "sealed": answer.sealed, "base_url": answer.base_url}
        return {"vendor": request.vendor, **key}

    async def spending(self, run_id: RunId, fence: int) -> Spending:
        """See Egress. A door that a restart of the egress process closed is opened again: the sandbox's next request finds it."""
        status, body = await self._call("GET", f"/doors/{_key(run_id, fence)}")
        wanted = self._opened.get(_key(run_id, fence))
        if status == HTTPStatus.NOT_FOUND and wanted is not None:
            await self._ask_for(wanted)
            status, body = await self._call("GET", f"/doors/{_key(run_id, fence)}")
        if status == HTTPStatus.NOT_FOUND:
            return Spending()
        if status != HTTPStatus.OK:  # nothing spent would be a good answer to many questions, and a wrong one
            raise EgressUnreachable(f"the egress process answered {status}")
        return _spending(body)

    async def close(self, run_id: RunId, fence: int) -> Spending:
        """See Egress."""
        closed = self._opened.pop(_key(run_id, fence), None)  # also where nobody answers: then the next sweep closes it
        if closed is not None and closed.place is not None:
            self._places.discard(closed.place)
        status, body = await self._call("DELETE", f"/doors/{_key(run_id, fence)}")
        return _spending(body) if status == HTTPStatus.OK else Spending()

    async def close_all(self) -> None:
        """See Egress."""
        self._opened.clear()
        self._places.clear()
        await self._call("DELETE", "/doors")

    async def sweep(self) -> None:
        """See Egress."""
        status, body = await self._call("GET", "/doors")
        for key in _NAMES.validate_json(body) if status == HTTPStatus.OK else ():
            if key not in self._opened:  # asked anew for each: runs begin meanwhile
                log.warning("door_swept", door=key)
                await self._call("DELETE", f"/doors/{key}")
        await self._sweep_places()

    async def _sweep_places(self) -> None:
        """A door's end removes its place, but not where the egress process was started anew since: it knows doors by run alone.

        What is seen unheld twice: the answer with a new place's name may be on its way.
        """
        status, body = await self._call("GET", "/places")
        unheld = {name for name in (_NAMES.validate_json(body) if status == HTTPStatus.OK else ()) if name not in self._places}
        for name in unheld & self._suspected:
            log.warning("place_swept", place=name)
            await self._call("DELETE", f"/places/{name}")
        self._suspected = frozenset(unheld)

    async def ready(self) -> None:
        """Raises EgressUnreachable."""
        await self._call("GET", "/doors/none")

    async def _ask_for(self, wanted: OpenDoor) -> OpenedDoor:
        status, body = await self._call("POST", "/doors", json.loads(wanted.model_dump_json()))
        if status == HTTPStatus.FORBIDDEN:
            raise CredentialMissing(f"the model key of run {wanted.run_id} cannot be opened")
        if status == HTTPStatus.MISDIRECTED_REQUEST:
            raise ModelAddressRefused(f"the address of run {wanted.run_id}'s model key is not allowed")
        try:
            return OpenedDoor.model_validate_json(body)
        except ValidationError as error:
            raise EgressUnreachable(f"the egress process answered {status}") from error

    async def _call(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> tuple[int, bytes]:
        connector = aiohttp.UnixConnector(str(self._control_socket))
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=TIMEOUT) as session,
                session.request(method, f"http://egress{path}", json=document) as answer,
            ):
                return answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise EgressUnreachable("the egress process does not answer") from error


def _key(run_id: RunId, fence: int) -> str:
    return f"{run_id}.{fence}"


def _spending(body: bytes) -> Spending:
    report = DoorReport.model_validate_json(body)
    usage = Usage(input_tokens=report.input_tokens, output_tokens=report.output_tokens, cost_usd=report.cost_usd, requests=report.requests)
    refusals = tuple(Refused(each.reason, each.request_digest, each.ecosystem, each.host) for each in report.refusals)
    return Spending(usage, report.upstream_status, report.exhausted, refusals, report.trouble, report.silent_seconds, report.answers)
