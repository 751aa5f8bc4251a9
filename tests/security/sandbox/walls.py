"""Tries every probe in two containers of one image: one that the runner's own adapter makes, one as `docker run` makes it by itself."""

import contextlib
import ctypes
import json
import os
import secrets
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.runner import seccomp
from services.runner.docker_engine import DockerEngine
from services.runner.docker_factory import DockerSandboxes
from services.runner.sandbox import Program, SandboxSpec, Stream
from shared.events import ids
from shared.events.ids import OwnerId, RunId, TaskId
from shared.events.values import Limits
from tests.security.sandbox import kernel_calls, places, sockets, surroundings
from tests.security.sandbox.probes import Attempt, Group, Probe, answers_by_probe

DOCKER_URL = "unix:///var/run/docker.sock"
PROBER = Path(__file__).with_name("prober.py")
LAST_CALL = 461
"""The newest number in the table that the names of seccomp.py come from: lsm_list_modules, Linux 6.8."""

Answers = dict[str, dict[str, str]]


def groups() -> tuple[Group, ...]:
    """Every probe there is."""
    return (kernel_calls.GROUP, sockets.GROUP, places.GROUP, surroundings.GROUP)


def probes() -> list[Probe]:
    """Every probe, in the order in which they are tried."""
    return [probe for group in groups() for probe in group.probes]


def refused_calls() -> list[int]:
    """The numbers of all calls that no rule of the filter names; libseccomp, which turns names into numbers, comes with runc."""
    library = ctypes.CDLL("libseccomp.so.2")
    named = {name for rule in seccomp.profile()["syscalls"] for name in rule["names"]}
    numbers = {int(library.seccomp_syscall_resolve_name(name.encode())) for name in named}
    unassigned = range(335, 424)
    return [number for number in range(LAST_CALL + 1) if number not in numbers and number not in unassigned]


@dataclass(frozen=True)
class Outside:
    """What is really there around a container, and should not be reached."""

    host: str
    host_port: int
    neighbour: str
    neighbour_port: int
    abstract: str
    needle: str

    def filled(self, attempt: Attempt) -> Attempt:
        """The attempt with these in their places."""
        if attempt == ("sweep",):
            return ("sweep", *refused_calls())
        return tuple(self._value(part[1:-1]) if isinstance(part, str) and part[:1] == "{" else self._named(part) for part in attempt)

    def _value(self, name: str) -> str | int:
        return self.needle[::-1] if name == "needle" else vars(self)[name]

    def _named(self, part: str | int) -> str | int:
        return part.replace("{abstract}", self.abstract) if isinstance(part, str) else part


@contextmanager
def outside(image: str) -> Generator[Outside]:
    """A listener on the bridge's address, a neighbour, an abstract socket, and a secret in this process and on its disk."""
    secret, abstract = secrets.token_hex(16), f"async-code-{secrets.token_hex(8)}"
    os.environ["ASYNC_CODE_PLANTED"] = secret
    with contextlib.ExitStack() as stack:
        stack.callback(os.environ.pop, "ASYNC_CODE_PLANTED")
        planted = stack.enter_context(tempfile.NamedTemporaryFile("w", prefix="async-code-planted-"))
        planted.write(secret)
        planted.flush()
        hidden = stack.enter_context(socket.socket(socket.AF_UNIX))
        hidden.bind(f"\0{abstract}")
        hidden.listen()
        neighbour = _docker("run", "--detach", "--rm", "--entrypoint", "/usr/bin/socat", image, "TCP-LISTEN:8000,fork", "EXEC:/bin/true")
        stack.callback(_docker, "rm", "--force", neighbour)
        # Of the neighbour: an engine that made the bridge itself does not say the gateway's address of the network.
        bridge = "{{with .NetworkSettings.Networks.bridge}}{{.Gateway}} {{.IPAddress}}{{end}}"
        gateway, address = _docker("inspect", "--format", bridge, neighbour).split()
        listener = stack.enter_context(socket.create_server((gateway, 0)))
        yield Outside(gateway, listener.getsockname()[1], address, 8000, abstract, secret)


async def ours(image: str, around: Outside) -> Answers:
    """What a sandbox of the runner answers."""
    spec = SandboxSpec(
        run_id=RunId(ids.fresh()),
        fence=1,
        owner=OwnerId(ids.fresh()),
        task_id=TaskId(ids.fresh()),
        image=image,
        limits=Limits(memory_mib=512, disk_mib=32, pids=64, cpus=2, wall_seconds=120, idle_seconds=120),
        workspace_bytes=1024 * 1024,
        max_result_bytes=1024 * 1024,
        door=None,
    )
    said = {stream: bytearray() for stream in Stream}

    async def take(stream: Stream, data: bytes) -> None:
        said[stream].extend(data)

    engine = DockerEngine(DOCKER_URL)
    try:
        sandbox = await DockerSandboxes(engine, deployment=f"test-{uuid.uuid4()}", runner_id="runner-1").create(spec)
        try:
            code = await sandbox.run(Program(("/usr/bin/python3", "-c", PROBER.read_text()), _attempts(around).encode()), take)
            assert code == 0, said[Stream.STDERR].decode()
        finally:
            await sandbox.kill()
    finally:
        engine.close()
    return answers_by_probe(probes(), json.loads(said[Stream.STDOUT]))


def docker_defaults(image: str, around: Outside) -> Answers:
    """What a container answers that somebody starts with `docker run` and no option. It has no limits: nothing may fill anything."""
    command = ["docker", "run", "--rm", "--interactive", "--entrypoint", "/usr/bin/python3", image, "-c", PROBER.read_text()]
    ran = subprocess.run(["/usr/bin/env", *command], input=_attempts(around), capture_output=True, text=True, check=True, timeout=240)
    return answers_by_probe(probes(), json.loads(ran.stdout))


def engine_and_kernel() -> Mapping[str, str]:
    """What the answers depend on."""
    seen = _docker("version", "--format", "{{.Server.Version}} {{.Server.KernelVersion}}").split()
    return {"engine": seen[0], "kernel": ".".join(seen[1].split(".")[:2])}


def _attempts(around: Outside) -> str:
    return json.dumps([around.filled(attempt) for probe in probes() for attempt in probe.attempts.values()])


def _docker(*arguments: str) -> str:
    ran = subprocess.run(["/usr/bin/env", "docker", *arguments], capture_output=True, text=True, check=True, timeout=60)
    return ran.stdout.strip()
