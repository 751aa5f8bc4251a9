"""A sandbox from nothing to its agent's first output, beside `docker run` of the same container, in turn.

The peer's flags are made from the very request the runner sends, so that the two cannot drift apart; it loads no repository.
"""

import asyncio
import itertools
import json
import os
import subprocess
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.figures import LOAD, Answer, Row, Say, load, median, milliseconds, ratio
from deploy.images import recipe
from deploy.images.settings import ImageSettings
from services.runner import container
from services.runner.docker_engine import DockerEngine
from services.runner.docker_sandbox import DockerSandboxes
from services.runner.sandbox import Program, Sandbox, SandboxSpec, Stream
from services.runner.warm import Kind
from shared.events import ids
from shared.events.ids import OwnerId, RunId, TaskId
from shared.events.values import Limits
from tests.integration.services.runner.snapshots import Snapshot, repository, snapshot

_IMAGE = recipe.tags(ImageSettings()).agents["shell"]
_DOCKER = "unix:///var/run/docker.sock"
_SECCOMP = Path(container.__file__).with_name("seccomp.json")
_MIB = 1024 * 1024
_FILES = {f"file{number}.txt": b"line\n" * 50 for number in range(40)}
_SAY = b"echo here; echo more >> file1.txt\n"
_STEPS = ("there", "repository inside", "first output", "stopped and harvested", "removed")
_AT_ONCE = 20
_SIZES_MB = (5, 200)
_MB = 1_000_000

Make = Callable[[SandboxSpec], Awaitable[Sandbox]]


async def measure(runs: int, say: Say) -> Answer:
    """`runs` sandboxes made anew, as many made beforehand, and as many containers by hand, one after the other in turn."""
    cold, warm, by_hand = list[list[float]](), list[list[float]](), list[float]()
    engine = DockerEngine(_DOCKER)
    sandboxes = DockerSandboxes(engine, deployment=f"measured-{uuid.uuid4()}", runner_id="measured")
    try:
        with TemporaryDirectory(prefix="async-code-sandbox-") as directory:
            source = snapshot(repository(Path(directory) / "r", _FILES), Path(directory) / "s")
            for number in range(-1, runs):
                steps = await _sandbox(sandboxes.create, source, Path(directory) / "pack")
                prepared = await sandboxes.prepare(_kind().spec(None))
                warmed = await _sandbox(prepared.adopt, source, Path(directory) / "pack")
                beside = _docker_run()
                if number >= 0:  # the first warms up
                    cold.append(steps)
                    warm.append(warmed)
                    by_hand.append(beside)
            say(f"sandbox: {runs} sandboxes made anew, as many made beforehand, and as many by hand")
            together = await _at_once(sandboxes, source, Path(directory)) if runs >= _AT_ONCE else []
            sizes = [await _carried(sandboxes, size, Path(directory) / f"of{size}") for size in (_SIZES_MB if runs >= _AT_ONCE else ())]
    finally:
        engine.close()
    rows = [*_rows("cold", cold, by_hand), *_rows("warm", warm, by_hand), _row("`docker run` → process, without a repository", by_hand)]
    more = [_row(f"{_AT_ONCE} at once, cold: → first output", together)] if together else []
    more += [row for size in sizes for row in size]
    return Answer("sandbox", "What does a sandbox cost beside `docker run` of the same container?", _METHOD, (*rows, *more))


def _rows(how: str, ours: list[list[float]], by_hand: list[float]) -> list[Row]:
    rows = [_row(f"{how}: {name}", [steps[at] for steps in ours]) for at, name in enumerate(_STEPS)]
    bare = [steps[0] + steps[2] for steps in ours]
    return [
        *rows,
        _row(f"{how}: → agent process, workspace excluded", bare, ratio(median(bare), median(by_hand))),
        _row(f"{how}: → agent process, with its repository", [sum(steps[:3]) for steps in ours]),
    ]


def _row(name: str, seconds: list[float], beside: float | None = None) -> Row:
    return {"what": name, **milliseconds(seconds), "ratio to `docker run`": beside, LOAD: load()}


async def _sandbox(make: Make, source: Snapshot, pack: Path, script: bytes = _SAY) -> list[float]:
    """Seconds of each step of one sandbox's life."""
    said: list[float] = []

    async def hear(_stream: Stream, _data: bytes) -> None:
        said.append(time.monotonic())

    moments = [time.monotonic()]
    sandbox = await make(_spec(source.tar.stat().st_size))
    try:
        moments.append(time.monotonic())
        await sandbox.load(source.tar, source.base_sha)
        moments.append(time.monotonic())
        await sandbox.run(Program(("/bin/bash", "-s"), script), hear)
        moments.append(said[0])
        await sandbox.stop_agent()
        await sandbox.harvest(source.base_sha, pack)
        moments.append(time.monotonic())
    finally:
        await sandbox.kill()
    moments.append(time.monotonic())
    return [end - begin for begin, end in itertools.pairwise(moments)]


async def _at_once(sandboxes: DockerSandboxes, source: Snapshot, room: Path) -> list[float]:
    """Seconds from asking to the first output of each of many that are asked for together."""
    lives = await asyncio.gather(*(_sandbox(sandboxes.create, source, room / f"pack{number}") for number in range(_AT_ONCE)))
    return [sum(steps[:3]) for steps in lives]


async def _carried(sandboxes: DockerSandboxes, size_mb: int, room: Path) -> list[Row]:
    """What a repository of this size costs on its way in, and as a change on its way out: files of 50 kB that nothing compresses."""
    files = {f"d{number % 50}/file{number}.bin": os.urandom(50_000) for number in range(size_mb * _MB // 50_000)}
    source = snapshot(repository(room / "r", files), room / "s")
    script = f"echo here; for n in {{1..{len(files)}}}; do head -c 50000 /dev/urandom > new$n.bin; done\n".encode()
    steps = await _sandbox(sandboxes.create, source, room / "pack", script)
    return [_row(f"{size_mb} MB in: repository inside", [steps[1]]), _row(f"{size_mb} MB out: stopped and harvested", [steps[3]])]


def _kind() -> Kind:
    kind = Kind.of(_spec(), door=False)
    assert kind is not None
    return kind


def _spec(workspace_bytes: int = 8 * _MIB) -> SandboxSpec:
    return SandboxSpec(
        run_id=RunId(ids.fresh()), fence=1, owner=OwnerId(ids.fresh()), task_id=TaskId(ids.fresh()), image=_IMAGE,
        limits=Limits(), workspace_bytes=workspace_bytes, max_result_bytes=256 * _MIB,
    )  # fmt: skip


def _docker_run() -> float:
    """Seconds until the same container, made by Docker's own client, says its first word."""
    spec = _spec()
    request = container.create_request(spec, _IMAGE, {}, _SECCOMP.read_text(), "runc")
    argv = ["/usr/bin/env", "docker", "run", "--rm", *_flags(request["HostConfig"]), "--user", container.AGENT]
    argv += ["--entrypoint", "/usr/bin/tini", _IMAGE, "--", "/bin/echo", "here"]
    began = time.monotonic()
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        heard = time.monotonic()
        _, complaint = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"docker run: {complaint!r}")
    return heard - began


def _flags(host: dict[str, Any]) -> list[str]:
    """The host configuration of a create request as options of `docker run`."""
    flags = ["--network", host["NetworkMode"], "--ipc", host["IpcMode"], "--cgroupns", host["CgroupnsMode"], "--runtime", host["Runtime"]]
    flags += ["--read-only", "--cap-drop", *host["CapDrop"], "--security-opt", host["SecurityOpt"][0]]
    flags += ["--security-opt", f"seccomp={_SECCOMP}", "--log-driver", host["LogConfig"]["Type"]]
    flags += ["--memory", str(host["Memory"]), "--memory-swap", str(host["MemorySwap"]), "--cpus", str(_cpus(host["NanoCpus"]))]
    flags += ["--pids-limit", str(host["PidsLimit"]), "--oom-score-adj", str(host["OomScoreAdj"])]
    flags += [part for name in host["Dns"] for part in ("--dns", name)]
    flags += [part for name in host["DnsSearch"] for part in ("--dns-search", name)]
    flags += [part for name in host["DnsOptions"] for part in ("--dns-option", name)]
    flags += [part for limit in host["Ulimits"] for part in ("--ulimit", f"{limit['Name']}={limit['Soft']}:{limit['Hard']}")]
    return flags + [part for place, options in host["Tmpfs"].items() for part in ("--tmpfs", f"{place}:{options}")]


def _cpus(nano: int) -> float:
    """Not more than the machine has, as the runner fits it too."""
    info = subprocess.run(("/usr/bin/env", "docker", "info", "--format", "{{json .NCPU}}"), check=True, capture_output=True)
    return min(nano / 1_000_000_000, float(json.loads(info.stdout)))


_METHOD = (
    "One process calls the runner's own sandbox adapter: there (cold: created and started; warm: made beforehand, and adopted), "
    "load a snapshot of 40 files, run a script, stop, harvest, remove. In turn with it, Docker's own client runs the same image with the "
    "same limits, mounts and hardening on the same engine, as `docker run --rm … /bin/echo`. Monotonic clock of that process; first output "
    "is when it arrives there. The sizes are repositories of 50 kB files that nothing compresses, and changes that add as many."
)
