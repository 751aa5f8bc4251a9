"""The container of a sandbox by Docker's own client: the same image, limits, mounts and hardening, on the same engine.

The flags are made from the very request the runner sends, so that the two cannot drift apart.
"""

import json
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from services.runner import container
from services.runner.runtime import Runtime
from services.runner.sandbox import SandboxSpec

SECCOMP = Path(container.__file__).with_name("seccomp.json")


def first_word(spec: SandboxSpec) -> float:
    """Seconds until a container says its first word: `docker run --rm`. Raises RuntimeError."""
    argv = [*_docker("run", "--rm", *_flags(spec)), "/bin/echo", "here"]
    began = time.monotonic()
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        heard = time.monotonic()
        _, complaint = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"docker run: {complaint!r}")
    return heard - began


@contextmanager
def running(spec: SandboxSpec) -> Generator[str]:
    """The id of a container that waits."""
    argv = [*_docker("run", "--detach", *_flags(spec)), "/bin/sleep", "600"]
    container_id = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
    try:
        yield container_id
    finally:
        subprocess.run(_docker("rm", "--force", "--volumes", container_id), check=True, capture_output=True)


def carried_in(container_id: str, tar: Path) -> float:
    """Seconds to unpack a tar in the workspace, and no more: no repository, no index."""
    with tar.open("rb") as file:
        return _timed(_docker("exec", "--interactive", container_id, "tar", "--extract", "--directory", container.WORKSPACE), stdin=file)


def carried_out(container_id: str, into: Path) -> float:
    """Seconds to bring what lies in the workspace out as a tar, changed or not."""
    with into.open("wb") as file:
        return _timed(_docker("exec", container_id, "tar", "--create", "--directory", container.WORKSPACE, "."), stdout=file)


def _timed(argv: list[str], **files: Any) -> float:
    began = time.monotonic()
    subprocess.run(argv, check=True, stderr=subprocess.PIPE, **files)
    return time.monotonic() - began


def _docker(*arguments: str) -> list[str]:
    return ["/usr/bin/env", "docker", *arguments]


def _flags(spec: SandboxSpec) -> list[str]:
    """The create request as options of `docker run`, up to the command."""
    host = container.create_request(spec, spec.image, {}, SECCOMP.read_text(), Runtime())["HostConfig"]
    flags = ["--network", host["NetworkMode"], "--ipc", host["IpcMode"], "--cgroupns", host["CgroupnsMode"], "--runtime", host["Runtime"]]
    flags += ["--read-only", "--cap-drop", *host["CapDrop"], "--security-opt", host["SecurityOpt"][0]]
    flags += ["--security-opt", f"seccomp={SECCOMP}", "--log-driver", host["LogConfig"]["Type"]]
    flags += ["--memory", str(host["Memory"]), "--memory-swap", str(host["MemorySwap"]), "--cpus", str(_cpus(host["NanoCpus"]))]
    flags += ["--pids-limit", str(host["PidsLimit"]), "--oom-score-adj", str(host["OomScoreAdj"])]
    flags += [part for name in host["Dns"] for part in ("--dns", name)]
    flags += [part for name in host["DnsSearch"] for part in ("--dns-search", name)]
    flags += [part for name in host["DnsOptions"] for part in ("--dns-option", name)]
    flags += [part for limit in host["Ulimits"] for part in ("--ulimit", f"{limit['Name']}={limit['Soft']}:{limit['Hard']}")]
    flags += [part for place, options in host["Tmpfs"].items() for part in ("--tmpfs", f"{place}:{options}")]
    return [*flags, "--user", container.AGENT, "--entrypoint", "/usr/bin/tini", spec.image, "--"]


def _cpus(nano: int) -> float:
    """Not more than the machine has, as the runner fits it too."""
    return min(nano / 1_000_000_000, float(_processors()))


@cache
def _processors() -> int:
    info = subprocess.run(_docker("info", "--format", "{{json .NCPU}}"), check=True, capture_output=True)
    return int(json.loads(info.stdout))
