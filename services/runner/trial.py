"""Tries the walls: one sandbox, made as every other, and a program in it that says what it sees.

What it says decides whether this runner takes work, so it runs before any agent has run on this engine's sandboxes, and only then.
"""

import contextlib
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import structlog

from services.runner import container
from services.runner.agents.registry import AGENTS
from services.runner.docker_engine import DockerEngine
from services.runner.errors import ImageMissing, SandboxGone, SandboxUnavailable
from services.runner.protections import REQUIRED, EngineSays, Seen, Walls, advice
from services.runner.sandbox import Program, Sandbox, SandboxFactory, SandboxSpec, Stream
from services.runner.settings import RunnerSettings
from shared.events import ids
from shared.events.ids import OwnerId, RunId, TaskId
from shared.events.values import Limits, Protection
from shared.telemetry.service import Misconfigured

log = structlog.get_logger()

_TRIES = 3
_SAID_BYTES = 64 * 1024
_SLACK_BYTES = 1024 * 1024
_LIMITS = Limits(memory_mib=256, disk_mib=16, pids=256, cpus=1, wall_seconds=60, idle_seconds=60)

_PROGRAM = r"""
import ctypes, errno, json, os, socket
libc = ctypes.CDLL(None, use_errno=True)
told = dict(line.rstrip("\n").split(":\t", 1) for line in open("/proc/self/status") if ":\t" in line)
mounts = [line.split() for line in open("/proc/self/mounts")]
def profile():
    try: return open("/proc/self/attr/current").read().strip("\0\n")
    except OSError: return ""
print(json.dumps({
    # Allowed to everybody by the kernel and by Docker's own filter, not by ours: so ours is what answers.
    "refused": libc.prctl(26, 1, 0, 0, 0) != 0 and ctypes.get_errno() == errno.EPERM,
    "capabilities": [int(told[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb") if name in told],
    # gVisor's /proc does not tell; asking it is as good (PR_GET_NO_NEW_PRIVS).
    "no_new_privileges": told.get("NoNewPrivs", str(libc.prctl(39, 0, 0, 0, 0))),
    "root": [mount[3].split(",")[0] for mount in mounts if mount[1] == "/"],
    "interfaces": [name for _, name in socket.if_nameindex()],
    "disks": {place: os.statvfs(place).f_blocks * os.statvfs(place).f_frsize for place in %s if os.path.ismount(place)},
    "apparmor": profile(),
    "kernel": os.uname().release,
}))
"""


async def walls(engine: DockerEngine, sandboxes: SandboxFactory, settings: RunnerSettings) -> Walls:
    """What this engine's sandboxes are made of. Raises Misconfigured where something required is missing, and EngineUnreachable."""
    says = EngineSays.of(await engine.call(lambda api: api.info()))
    if settings.runtime not in says.runtimes:
        raise Misconfigured("RUNNER_RUNTIME", f"the Docker engine knows no such runtime, only {', '.join(sorted(says.runtimes))}")
    seen = None
    try:
        image = await _first_image(engine, [*settings.images.values(), *(settings.image(agent) for agent in AGENTS)])
        seen = await tried(sandboxes, image, settings.apparmor_profile)
    except ImageMissing as missing:
        log.warning("walls_not_tried", reason=str(missing))
    required = REQUIRED | ({Protection.APPARMOR} if settings.apparmor_profile else frozenset[Protection]())
    found = Walls(says, seen, required, settings.allow_missing)
    if refused := found.missing - settings.allow_missing:
        raise Misconfigured("RUNNER_ALLOW_MISSING", advice(refused))
    return found


async def tried(sandboxes: SandboxFactory, image: str, apparmor_profile: str) -> Seen:
    """What a trial sandbox shows. Raises ImageMissing, SandboxUnavailable, EngineUnreachable."""
    spec = SandboxSpec(
        run_id=RunId(ids.fresh()),
        fence=1,
        owner=OwnerId(ids.fresh()),
        task_id=TaskId(ids.fresh()),
        image=image,
        limits=_LIMITS,
        workspace_bytes=1,
        max_result_bytes=1,
        door=None,
    )
    for attempt in range(1, _TRIES):
        with contextlib.suppress(SandboxGone):  # another runner of this deployment that starts at the same time takes it for left over
            return judged(await _told(sandboxes, replace(spec, fence=attempt)), container.disks(spec), apparmor_profile)
    return judged(await _told(sandboxes, replace(spec, fence=_TRIES)), container.disks(spec), apparmor_profile)


def judged(told: dict[str, Any], disks: dict[str, int], apparmor_profile: str) -> Seen:
    """The walls that the program's words prove."""
    fits = [0 < told["disks"].get(place, 0) <= size + _SLACK_BYTES for place, size in disks.items()]
    confined = told["apparmor"] == f"{apparmor_profile} (enforce)" if apparmor_profile else told["apparmor"].endswith("(enforce)")
    proved = {
        Protection.SECCOMP: told["refused"] is True,
        Protection.NO_CAPABILITIES: len(told["capabilities"]) > 0 and not any(told["capabilities"]),
        Protection.NO_NEW_PRIVILEGES: told["no_new_privileges"] == "1",
        Protection.READ_ONLY_ROOT: told["root"] == ["ro"],
        Protection.NO_NETWORK: set(told["interfaces"]) <= {"lo"},
        Protection.DISK_LIMIT: all(fits),
        Protection.APPARMOR: confined,
    }
    return Seen(frozenset(protection for protection, is_so in proved.items() if is_so), str(told["kernel"]))


def program(disks: Iterable[str]) -> str:
    """What is run inside: Python, and nothing but its standard library."""
    return _PROGRAM % json.dumps(sorted(disks))


async def _told(sandboxes: SandboxFactory, spec: SandboxSpec) -> dict[str, Any]:
    said = bytearray()

    async def keep(stream: Stream, data: bytes) -> None:
        if len(said) < _SAID_BYTES:
            said.extend(data if stream is Stream.STDOUT else b"")

    sandbox: Sandbox = await sandboxes.create(spec)
    try:
        code = await sandbox.run(Program(("/usr/bin/env", "python3", "-c", program(container.disks(spec))), b""), keep)
    finally:
        await sandbox.kill()
    if code != 0:
        raise SandboxUnavailable(f"the trial of the walls ended with {code}")
    return json.loads(said)


async def _first_image(engine: DockerEngine, images: Iterable[str]) -> str:
    for image in images:
        if await engine.image_id(image) is not None:
            return image
    raise ImageMissing("no image of an agent is on this Docker host")
