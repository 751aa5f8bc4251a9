"""A sandbox from nothing to its agent's first output, beside `docker run` of the same container, in turn.

The peer's flags are made from the very request the runner sends, so that the two cannot drift apart; it loads no repository.
"""

import itertools
import json
import subprocess
import time
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.figures import LOAD, Answer, Row, Say, load, median, milliseconds, ratio
from deploy.images import recipe
from deploy.images.settings import ImageSettings
from services.runner import container
from services.runner.docker_engine import DockerEngine
from services.runner.docker_sandbox import DockerSandboxes
from services.runner.sandbox import Program, SandboxSpec, Stream
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
_STEPS = ("created and started", "repository inside", "first output", "stopped and harvested", "removed")


async def measure(runs: int, say: Say) -> Answer:
    """`runs` sandboxes and as many containers by hand, one after the other in turn."""
    ours, by_hand = list[list[float]](), list[float]()
    engine = DockerEngine(_DOCKER)
    sandboxes = DockerSandboxes(engine, deployment=f"measured-{uuid.uuid4()}", runner_id="measured")
    try:
        with TemporaryDirectory(prefix="async-code-sandbox-") as directory:
            source = snapshot(repository(Path(directory) / "r", _FILES), Path(directory) / "s")
            for number in range(-1, runs):
                steps = await _sandbox(sandboxes, source, Path(directory) / "pack")
                beside = _docker_run()
                if number >= 0:  # the first warms up
                    ours.append(steps)
                    by_hand.append(beside)
    finally:
        engine.close()
    say(f"sandbox: {runs} sandboxes and as many by hand")
    return Answer("sandbox", "What does a sandbox cost beside `docker run` of the same container?", _METHOD, tuple(_rows(ours, by_hand)))


def _rows(ours: list[list[float]], by_hand: list[float]) -> list[Row]:
    rows = [_row(name, [steps[at] for steps in ours]) for at, name in enumerate(_STEPS)]
    up = [sum(steps[:3]) for steps in ours]
    rows += [_row("create → agent process, with its repository", up), _row("`docker run` → process, without a repository", by_hand)]
    one = ratio(median([steps[0] + steps[2] for steps in ours]), median(by_hand))
    rows.append({"what": "(created + first output) / `docker run`", "p50 ms": None, "p99 ms": None, "n": None, "ratio": one, LOAD: load()})
    with_repository = ratio(median(up), median(by_hand))
    return [
        *rows,
        {"what": "with its repository / `docker run`", "p50 ms": None, "p99 ms": None, "n": None, "ratio": with_repository, LOAD: load()},
    ]


def _row(name: str, seconds: list[float]) -> Row:
    return {"what": name, **milliseconds(seconds), "ratio": None, LOAD: load()}


async def _sandbox(sandboxes: DockerSandboxes, source: Snapshot, pack: Path) -> list[float]:
    """Seconds of each step of one sandbox's life."""
    said: list[float] = []

    async def hear(_stream: Stream, _data: bytes) -> None:
        said.append(time.monotonic())

    moments = [time.monotonic()]
    sandbox = await sandboxes.create(_spec())
    try:
        moments.append(time.monotonic())
        await sandbox.load(source.tar, source.base_sha)
        moments.append(time.monotonic())
        await sandbox.run(Program(("/bin/bash", "-s"), _SAY), hear)
        moments.append(said[0])
        await sandbox.stop_agent()
        await sandbox.harvest(source.base_sha, pack)
        moments.append(time.monotonic())
    finally:
        await sandbox.kill()
    moments.append(time.monotonic())
    return [end - begin for begin, end in itertools.pairwise(moments)]


def _spec() -> SandboxSpec:
    return SandboxSpec(
        run_id=RunId(ids.fresh()), fence=1, owner=OwnerId(ids.fresh()), task_id=TaskId(ids.fresh()), image=_IMAGE,
        limits=Limits(), workspace_bytes=8 * _MIB, max_result_bytes=32 * _MIB,
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
    flags += ["--pids-limit", str(host["PidsLimit"]), "--oom-score-adj", str(host["OomScoreAdj"]), "--shm-size", str(host["ShmSize"])]
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
    "One process calls the runner's own sandbox adapter: create, load a snapshot of 40 files, run a script, stop, harvest, remove. In turn "
    "with it, Docker's own client runs the same image with the same limits, mounts and hardening on the same engine, as `docker run --rm … "
    "/bin/echo`. Monotonic clock of that process; first output is when it arrives there."
)
