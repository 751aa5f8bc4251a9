"""One door's packages: reads what the project allows, through the registries that the operator names. Nothing else passes.

There is no token: the socket is in one sandbox alone. What a sandbox asks for can tell a registry something, so how much it may ask is
bounded.
"""

import asyncio
from dataclasses import replace
from typing import BinaryIO

import aiohttp
import structlog
from aiohttp import web

from services.runner.egress.doors import ANY_PATH, Door, Refusal
from services.runner.egress.packages import cargo, families
from services.runner.egress.packages.cache import Arriving, ContentWrong
from services.runner.egress.packages.digests import Digest
from services.runner.egress.packages.registries import Failed, Missing, Registries
from services.runner.egress.packages.wanted import Proof, Shelf, Wanted
from services.runner.egress.vendors.vendor import Refused
from shared.events.values import Ecosystem

log = structlog.get_logger()

AT_ONCE = 8
"""Questions of one door that are under way; more wait."""
INDEXES_AT_ONCE = 4
"""Indexes of one door that are in memory."""
_METHODS = ("GET", "HEAD")
_MIB = 1024 * 1024
_PIECE = 256 * 1024


class Keeper:
    """Answers one door's requests under `families.PREFIX`."""

    def __init__(self, door: Door, allowed: tuple[Ecosystem, ...], registries: Registries) -> None:
        self._door = door
        self._allowed = allowed
        self._registries = registries
        self._settings = registries.settings
        self._under_way = asyncio.Semaphore(AT_ONCE)
        self._indexes = asyncio.Semaphore(INDEXES_AT_ONCE)
        self._requests = 0
        self._missing: set[str] = set()

    def join(self, application: web.Application, *, alone: bool) -> None:
        """Take the requests that are about packages; everything else is the application's own, or refused where there is nobody else."""
        application.router.add_route("*", families.PREFIX + ANY_PATH, self._handle)
        if alone:
            application.router.add_route("*", "/" + ANY_PATH, self._handle)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        ecosystem: Ecosystem | None = None
        try:
            ecosystem = families.ecosystem(request.raw_path)
            async with self._under_way:
                return await self._served(request, ecosystem)
        except Refused as refusal:
            return self._refused(request, refusal, ecosystem)
        except ContentWrong as error:
            return self._refused(request, Refused(str(error)), ecosystem)
        except Missing:
            self._missing.add(request.raw_path)
            return web.Response(status=404, text="The registry has no such thing.\n")
        except Failed as error:
            log.warning("registry_failed", run=str(self._door.key), ecosystem=ecosystem, error=str(error))
            return web.Response(status=502, text="The registry does not answer as one.\n")

    def _refused(self, request: web.Request, refusal: Refused, ecosystem: Ecosystem | None) -> web.Response:
        said = f"{request.method} {request.host} {request.raw_path}"
        if self._door.refuse(Refusal.of(said, refusal.reason, ecosystem, refusal.host)):
            log.warning("egress_refused", run=str(self._door.key), reason=refusal.reason, ecosystem=ecosystem)
        return web.Response(status=403, text=f"Refused by this deployment's egress policy: {refusal.reason}.\n")

    async def _served(self, request: web.Request, ecosystem: Ecosystem) -> web.StreamResponse:
        if request.method not in _METHODS:
            raise Refused("method_denied")
        if request.can_read_body:
            raise Refused("body_denied")
        if ecosystem not in self._allowed:
            raise Refused("ecosystem_denied")
        shelf = self._registries.shelf(ecosystem)
        wanted = families.wanted(families.asked(request.raw_path, request.host, request.headers.get("accept", "")), shelf)
        if wanted.kept:
            return await self._file(request, wanted, shelf)
        self._count(request)
        return await self._index(wanted, shelf) if wanted.rewrite else await self._passed_on(request, wanted, shelf)

    def _count(self, request: web.Request) -> None:
        """Before each question that reaches a registry."""
        self._requests += 1
        if self._requests > self._settings.max_requests:
            raise Refused("too_many_requests")
        if len(self._missing) >= self._settings.max_missing and request.raw_path not in self._missing:
            raise Refused("too_many_missing")

    async def _index(self, wanted: Wanted, shelf: Shelf) -> web.Response:
        """Asked for anew each time: what one run learned of a list of versions is not what the next one must believe."""
        rewrite = wanted.rewrite
        assert rewrite is not None  # noqa: S101 - the caller looked
        async with self._indexes:
            body, kind = await self._registries.index(wanted.url, wanted.accept, self._places(shelf))
            answer = await self._registries.understood(lambda: rewrite(body, kind))
        return web.Response(body=answer.body, headers={"content-type": answer.content_type})

    async def _file(self, request: web.Request, wanted: Wanted, shelf: Shelf) -> web.StreamResponse:
        file = await asyncio.to_thread(self._registries.cache.find, wanted.key, wanted.digest)
        if file is not None:
            return await _copied(request, file)
        self._count(request)
        digest = wanted.digest if wanted.proof is None else await self._proven(wanted.proof, shelf)
        return await self._passed_on(request, replace(wanted, digest=digest), shelf)

    async def _proven(self, proof: Proof, shelf: Shelf) -> Digest:
        """What the file must be: only what an index lists is fetched, and what is kept for all was checked against it."""
        async with self._indexes:
            body, _ = await self._registries.index(proof.url, proof.accept, self._places(shelf))
            digest = await self._registries.understood(lambda: proof.read(body))
        if digest is None:
            raise Refused("link_unknown")
        return digest

    async def _passed_on(self, request: web.Request, wanted: Wanted, shelf: Shelf) -> web.StreamResponse:
        """As it comes, and kept where it may be once it is whole."""
        url = await self._place(wanted, shelf) if wanted.download else wanted.url
        max_bytes = self._settings.file_mib * _MIB
        async with self._registries.asked(request.method, url, wanted.accept, self._places(shelf)) as answer:
            if answer.content_length is not None and answer.content_length > max_bytes:
                raise Refused("file_too_large")
            response = web.StreamResponse(headers={"content-type": wanted.content_type})
            response.content_length = answer.content_length
            await response.prepare(request)
            if request.method == "HEAD":
                return response
            kept = wanted.kept and _ends_itself(answer)
            arriving = await asyncio.to_thread(self._registries.cache.arriving, max_bytes, wanted.digest, kept=kept)
            try:
                await self._arrived(response, answer, arriving, wanted)
            except BaseException:
                await asyncio.to_thread(arriving.drop)
                if request.transport is not None:
                    request.transport.abort()  # or the sandbox would take what it has for the whole
                raise
            await asyncio.to_thread(arriving.drop)
        return response

    async def _arrived(self, response: web.StreamResponse, answer: aiohttp.ClientResponse, arriving: Arriving, wanted: Wanted) -> None:
        """The last piece waits until the whole was checked: a sandbox never has all of what is not what it should be."""
        held = b""
        async for piece in answer.content.iter_chunked(_PIECE):
            await asyncio.to_thread(arriving.write, piece)
            if held:
                await response.write(held)
            held = piece
        arriving.check()
        if wanted.kept:
            await asyncio.to_thread(self._registries.cache.keep, wanted.key, arriving)
        if held:
            await response.write(held)

    async def _place(self, wanted: Wanted, shelf: Shelf) -> str:
        assert wanted.download is not None  # noqa: S101 - the caller looked
        configuration, _ = await self._registries.index(wanted.url, wanted.accept, self._places(shelf))
        name, version = wanted.download
        return await self._registries.understood(lambda: cargo.place(configuration, name, version, shelf))

    def _places(self, shelf: Shelf) -> tuple[str, ...]:
        return self._settings.origins(shelf.ecosystem)


def _ends_itself(answer: aiohttp.ClientResponse) -> bool:
    """Whether an answer that was cut short would be noticed: one that ends with its connection may be a part (RFC 9112 §8)."""
    return answer.content_length is not None or "chunked" in answer.headers.get("transfer-encoding", "").lower()


async def _copied(request: web.Request, file: BinaryIO) -> web.StreamResponse:
    """From our own disk."""
    with file:
        response = web.StreamResponse(headers={"content-type": "application/octet-stream"})
        response.content_length = await asyncio.to_thread(_size, file)
        await response.prepare(request)
        if request.method != "HEAD":
            while piece := await asyncio.to_thread(file.read, _PIECE):
                await response.write(piece)
        return response


def _size(file: BinaryIO) -> int:
    size = file.seek(0, 2)
    file.seek(0)
    return size
