"""Makes the sandboxes of one runner on its engine, beforehand too, and finds those that nobody holds."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from weakref import WeakValueDictionary

from services.runner import container
from services.runner.docker_engine import DockerEngine
from services.runner.docker_process import together
from services.runner.docker_sandbox import DockerSandbox, Made
from services.runner.errors import (
    ImageMissing,
    RunnerError,
    SandboxUnavailable,
)
from services.runner.runtime import Runtime
from services.runner.sandbox import (
    Leftover,
    Sandbox,
    SandboxSpec,
)

_SECCOMP = Path(__file__).with_name("seccomp.json")


class DockerSandboxes:
    """Makes sandboxes on one engine for one runner of one deployment."""

    def __init__(self, engine: DockerEngine, *, deployment: str, runner_id: str, runtime: str = "runc", apparmor: str = "") -> None:
        self._engine = engine
        self.deployment = deployment
        self._runner_id = runner_id
        self._runtime = runtime
        self._apparmor = apparmor
        self._seccomp = _SECCOMP.read_text()
        self._info: dict[str, Any] | None = None
        self._known = WeakValueDictionary[str, DockerSandbox]()

    async def create(self, spec: SandboxSpec) -> Sandbox:
        """See SandboxFactory. A cancelled call leaves nothing behind."""
        return await self._made(container.name(spec), spec)

    async def prepare(self, spec: SandboxSpec) -> "WarmSandbox":
        """See PreparedFactory. A cancelled call leaves nothing behind."""
        sandbox = await self._made(container.warm_name(), spec)
        try:
            await sandbox.standing_by()
        except BaseException:
            with contextlib.suppress(RunnerError):  # what is raised is why it is not wanted
                await asyncio.shield(sandbox.kill())
            raise
        return WarmSandbox(self._engine, sandbox)

    async def _made(self, name: str, spec: SandboxSpec) -> DockerSandbox:
        image_id, info = await self._image(spec.image), await self._host()
        spec, runtime = container.fitted(spec, int(info["NCPU"])), Runtime.of(self._runtime, info)
        labels = container.labels(spec, self.deployment, self._runner_id)
        request = container.create_request(spec, image_id, labels, self._seccomp, runtime, apparmor=self._apparmor)
        container_id, first = await self._engine.start(name, request)
        sandbox = DockerSandbox(self._engine, Made(container_id, image_id, runtime), first, spec)
        sandbox.stand_by()
        self._known[container_id] = sandbox
        return sandbox

    async def _host(self) -> dict[str, Any]:
        """What the engine says of its machine and of itself, asked once."""
        if self._info is None:
            self._info = await self._engine.call(lambda api: cast("dict[str, Any]", api.info()))
        return self._info

    async def _image(self, image: str) -> str:
        found = await self._engine.image_id(image)
        if found is None:
            raise ImageMissing(f"the image {image} is not on this Docker host")
        return found

    async def leftovers(self) -> Sequence[Leftover]:
        """See SandboxFactory."""
        wanted = {"label": [f"{container.label('deployment')}={self.deployment}"]}
        found = await self._engine.call(lambda api: cast("list[dict[str, Any]]", api.containers(all=True, filters=wanted)))
        return [container.leftover(entry) for entry in found]

    async def remove(self, leftover: Leftover) -> None:
        """See SandboxFactory."""
        await self._engine.keep_last_words(leftover.container_id, f"{leftover.run_id}.{leftover.fence}")
        known = self._known.get(leftover.container_id)
        await (self._engine.remove(leftover.container_id) if known is None else known.kill())

    async def ready(self) -> None:
        """See SandboxFactory."""
        await self._engine.call(lambda api: api.ping())


class WarmSandbox:
    """A container that belongs to no run yet."""

    def __init__(self, engine: DockerEngine, sandbox: DockerSandbox) -> None:
        self._engine = engine
        self._sandbox = sandbox

    async def adopt(self, spec: SandboxSpec) -> Sandbox:
        """See Prepared. An image of the same name that was built since is not what the attempt asked for."""
        await together(self._must_be_of(spec.image), self._sandbox.belong_to(spec))
        return self._sandbox

    async def _must_be_of(self, image: str) -> None:
        if await self._engine.image_id(image) != self._sandbox.image_digest:
            raise SandboxUnavailable(f"{image} is another image by now")

    async def discard(self) -> None:
        """See Prepared."""
        await self._sandbox.kill()
