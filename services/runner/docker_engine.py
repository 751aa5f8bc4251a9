"""The Docker engine, called in asyncio: the only file of the services that imports docker.

docker-py blocks, so its calls run in threads of their own; its errors come out in the runner's words.
"""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

import docker
import requests
import structlog
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from services.runner.docker_stream import Endpoint, ProcessStream
from services.runner.errors import EngineUnreachable, RunnerError, SandboxGone, SandboxUnavailable
from services.runner.last_words import LastWords
from services.runner.old_images import Tagged

log = structlog.get_logger()

R = TypeVar("R")

_ENGINE_SECONDS = 60
_THREADS = 32
"""Of their own: an engine that hangs must not hold up the files of other runs."""
_REMOVAL_SECONDS = 20
_CONFLICT = 409
_BEING_REMOVED = "dead or marked for removal"
"""Then it answers 409, and a moment later 404."""
_TOLD_LINES = 1_000
_LOOK_SECONDS = (0.002, 0.004, 0.008, 0.016, 0.032, *([0.05] * 100))
"""How long between looks for an exit code: mostly it is there at once."""
_KILLED = 137


class DockerEngine:
    """docker-py, called in threads, with its errors in our words."""

    def __init__(self, url: str, words: LastWords | None = None) -> None:
        self.endpoint = Endpoint(url)
        self._url = url
        self._words = words
        self._client: Any = None
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="docker")

    async def call(self, function: Callable[[Any], R]) -> R:
        """Runs `function(api)` in a thread. Raises EngineUnreachable, SandboxGone (404), SandboxUnavailable (any other refusal)."""
        if self._client is None:
            _, writer = await self.endpoint.connect()  # docker-py leaks its socket when nobody listens
            writer.close()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._called, function)
        except NotFound as error:
            raise SandboxGone(str(error)) from error
        except APIError as error:
            gone = error.status_code == _CONFLICT and _BEING_REMOVED in str(error)
            raise (SandboxGone if gone else SandboxUnavailable)(str(error)) from error
        except (DockerException, requests.RequestException) as error:
            raise EngineUnreachable(f"no Docker engine at {self._url}") from error

    def _called(self, function: Callable[[Any], R]) -> R:
        if self._client is None:
            self._client = cast("Any", docker).DockerClient(base_url=self._url, version="1.41", timeout=_ENGINE_SECONDS)
        return function(self._client.api)

    def close(self) -> None:
        """Lets go of every connection."""
        self._threads.shutdown()
        if self._client is not None:
            self._client.close()

    async def image_id(self, image: str) -> str | None:
        """The image by content; None where this host does not have it."""

        def inspect(api: Any) -> str | None:
            try:
                return str(api.inspect_image(image)["Id"])
            except ImageNotFound:
                return None

        return await self.call(inspect)

    async def layers(self, image: str) -> tuple[str, ...] | None:
        """An image's layers, from the lowest, by content; None where this host does not have it."""

        def inspect(api: Any) -> tuple[str, ...] | None:
            try:
                return tuple(map(str, api.inspect_image(image)["RootFS"]["Layers"]))
            except ImageNotFound:
                return None

        return await self.call(inspect)

    async def start(self, name: str, request: dict[str, Any]) -> tuple[str, ProcessStream]:
        """A container made by this request and started: its id, and its first process's input and output from the beginning.

        What does not start is not left behind, also where the caller gives up.
        """
        starting = asyncio.create_task(self._started(name, request))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):  # the cancellation goes on; what could not be made needs no removal
                container_id, stream = await starting
                await stream.close()
                await self.remove(container_id)
            raise

    async def _started(self, name: str, request: dict[str, Any]) -> tuple[str, ProcessStream]:
        container_id = await self.call(lambda api: str(api.create_container_from_config(request, name)["Id"]))
        stream: ProcessStream | None = None
        try:
            stream = await ProcessStream.attach(self.endpoint, container_id)  # before it starts: its end is heard whenever it comes
            await self.call(lambda api: api.start(container_id))
        except BaseException:
            if stream is not None:
                await stream.close()
            with contextlib.suppress(RunnerError):  # what is raised is why it did not start
                await self.remove(container_id)
            raise
        return container_id, stream

    async def exit_code(self, exec_id: str) -> int:
        """Of an exec whose output has ended: the engine knows the code a moment later, and never when the container died."""
        for pause in _LOOK_SECONDS:
            seen = await self.call(lambda api: cast("dict[str, Any]", api.exec_inspect(exec_id)))
            if not seen["Running"]:
                return _KILLED if seen["ExitCode"] is None else int(seen["ExitCode"])
            await asyncio.sleep(pause)
        raise SandboxUnavailable("the exec goes on after its output ended")

    async def remove(self, container_id: str) -> None:
        """Ends and removes a container; one that is gone already is as good."""
        await self.call(lambda api: _remove(api, container_id))

    async def rename(self, container_id: str, name: str) -> None:
        """Gives a container another name. Raises SandboxUnavailable where it is taken, SandboxGone where there is no such container."""
        await self.call(lambda api: api.rename(container_id, name))

    async def keep_last_words(self, container_id: str, name: str) -> None:
        """Of a container that ended by itself: how, and the end of what it said. Nothing depends on it."""
        if self._words is None:
            return
        try:
            told = await self.call(lambda api: _last_words(api, container_id))
            if told is not None:
                path = await asyncio.to_thread(self._words.keep, name, *told)
                log.warning("sandbox_died", exit_code=told[0]["ExitCode"], out_of_memory=told[0]["OOMKilled"], kept=str(path))
        except (SandboxGone, OSError) as error:
            log.warning("last_words_not_kept", error=type(error).__name__)

    async def images(self, reference: str) -> list[Tagged]:
        """The images on this host whose names match."""

        def listed(api: Any) -> list[Tagged]:
            found = cast("list[dict[str, Any]]", api.images(filters={"reference": reference}))
            return [
                Tagged(str(tag), str(image["Id"]), int(image["Created"]))
                for image in found
                for tag in cast("list[str]", image.get("RepoTags") or [])
            ]

        return await self.call(listed)

    async def images_in_use(self) -> set[str]:
        """By content: of every container on this host, whoever's it is."""
        return await self.call(lambda api: {str(entry["ImageID"]) for entry in api.containers(all=True)})

    async def remove_image(self, tag: str) -> None:
        """Takes a name away, and the image with its last one. Raises SandboxUnavailable where a container uses it."""
        await self.call(lambda api: api.remove_image(tag, force=False))

    async def limit_processes(self, container_id: str, limit: int) -> int:
        """Changes how many there may be, for which docker-py knows no way; the engine's status."""

        def update(api: Any) -> int:
            url = f"{api.base_url}/v1.41/containers/{container_id}/update"
            return int(api.post(url, json={"PidsLimit": limit}, timeout=_ENGINE_SECONDS).status_code)

        return await self.call(update)


def _last_words(api: Any, container_id: str) -> tuple[dict[str, Any], bytes] | None:
    state = cast("dict[str, Any]", api.inspect_container(container_id)["State"])
    if state["Running"]:
        return None
    told = {name: state.get(name) for name in ("ExitCode", "OOMKilled", "Error", "StartedAt", "FinishedAt")}
    return told, bytes(api.logs(container_id, stdout=True, stderr=True, tail=_TOLD_LINES))


def _remove(api: Any, container_id: str) -> None:
    try:
        api.remove_container(container_id, force=True, v=True)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != _CONFLICT:  # the engine is removing it already
            raise
        with contextlib.suppress(NotFound):
            api.wait(container_id, timeout=_REMOVAL_SECONDS, condition="removed")
