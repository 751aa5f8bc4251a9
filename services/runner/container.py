"""From a sandbox's specification to the engine's create request, as a pure function: the whole hardening stands here.

Must never take anything a user or an agent wrote: image, limits and ids are typed and bounded. References: facts and attacks are
tested from inside in tests/integration/services/runner/.
"""

import re
import uuid
from dataclasses import replace
from typing import Any, cast

from services.runner import attendant
from services.runner.runtime import Runtime
from services.runner.sandbox import Leftover, SandboxSpec
from shared.events.ids import RunId

AGENT = "10001:10001"
HARVEST = "10002:10002"
WORKSPACE = "/workspace"
HOME = "/home/agent"
CHECKPOINT = "/checkpoint"
DOOR = "/run/egress"
SCRIPTS = "/usr/local/lib/async-code/"
FIRST_PROCESSES = 2
"""The init and the attendant, which are always there: when there are no more, no process of the agent lives."""

MIB = 1024 * 1024
_LABEL = "async-code."
_SETS_UP = "-setup"
_NAMED = re.compile(rf"/?async-code-(?P<run>[0-9a-f]{{8}}-[0-9a-f-]{{27}})-(?P<fence>\d{{1,19}})(?:{_SETS_UP})?")
_OWN_PROCESSES = 16
"""Beside the agent's: init, attendant, and the scripts that load, take checkpoints and harvest."""
_OWN_FILES = 64 * MIB
_AFTERLIFE_SECONDS = 1_800
"""A container whose runner died ends by itself this long after its run's time was over."""
_SMALL_MIB = 16
_PAGE = 4_096
_FEW_INODES = 8_192
"""Of each disk, beside one for each page: no file that holds anything takes less, and directories and links take none."""
_INODE_BYTES = 1_024
"""About what the kernel holds for an empty file and its name. Without a bound, files of nothing took all memory there is, and
with it the first process."""
SHARED = "/dev/shm"  # noqa: S108 - the sandbox's
_SHARED_BYTES = 64 * MIB

HOSTNAME = "sandbox"
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


def name(spec: SandboxSpec) -> str:
    """The container's name: a second sandbox for the same attempt, or its set-up, is refused by the engine."""
    return f"async-code-{spec.run_id}-{spec.fence}{_SETS_UP if spec.sets_up else ''}"


def warm_name() -> str:
    """The name of a container that belongs to no run yet; it is renamed for its run."""
    return f"async-code-warm-{uuid.uuid4()}"


def named(name: str) -> tuple[RunId, int]:
    """The run and fence that a container's name tells; no run where it has none. Labels cannot be changed, a name can."""
    found = _NAMED.fullmatch(name)
    return (RunId(found["run"]), int(found["fence"])) if found else (RunId(""), 0)


def labels(spec: SandboxSpec, deployment: str, runner_id: str) -> dict[str, str]:
    """Whose container this is, for the people and runners who find it. One that waits for a run has only the first two."""
    values = {"deployment": deployment, "runner": runner_id, "run": spec.run_id, "fence": str(spec.fence or "")}
    return {_LABEL + key: value for key, value in (values | {"owner": spec.owner, "task": spec.task_id}).items() if value}


def leftover(entry: dict[str, Any]) -> Leftover:
    """One of `GET /containers/json`."""
    run_id, fence = named(next(iter(entry.get("Names") or ()), ""))
    told = cast("dict[str, str]", entry["Labels"])
    return Leftover(str(entry["Id"]), told.get(label("runner"), ""), run_id, fence, entry.get("State") in {"exited", "dead"})


def fitted(spec: SandboxSpec, processors: int) -> SandboxSpec:
    """The engine refuses more processors than its machine has, and nobody who hands in a task knows how many those are."""
    return replace(spec, limits=spec.limits.model_copy(update={"cpus": min(spec.limits.cpus, float(processors))}))


def label(key: str) -> str:
    """The full name of a label."""
    return _LABEL + key


def disks(spec: SandboxSpec) -> dict[str, int]:
    """The writable places and their sizes in bytes. They lie in memory, and memory is what they count against."""
    disk = spec.limits.disk_mib * MIB
    beside = max(spec.limits.disk_mib // 4, _SMALL_MIB) * MIB
    return {
        WORKSPACE: disk,
        HOME: beside,
        "/tmp": beside,  # noqa: S108 - the sandbox's, not the host's
        CHECKPOINT: beside,
        "/base": 2 * spec.workspace_bytes + spec.max_result_bytes + _OWN_FILES,
        SHARED: _SHARED_BYTES,
    }


def inodes(size_bytes: int) -> int:
    """How many files and directories a disk of this size holds."""
    return size_bytes // _PAGE + _FEW_INODES


def memory_bytes(spec: SandboxSpec) -> int:
    """What the agent's processes may take, and the disks on top: full disks leave the processes their share."""
    return spec.limits.memory_mib * MIB + sum(size + inodes(size) * _INODE_BYTES for size in disks(spec).values())


def patience_seconds(spec: SandboxSpec) -> int:
    """How long the first process waits for a word before it ends the container."""
    return spec.limits.wall_seconds + _AFTERLIFE_SECONDS


def processes_limit(spec: SandboxSpec, runtime: Runtime, more: int = 0) -> int:
    """How many processes the engine is to allow: the agent's, ours, and so many more."""
    return runtime.tasks(spec.limits.pids + _OWN_PROCESSES + more)


def create_request(
    spec: SandboxSpec, image_id: str, container_labels: dict[str, str], seccomp: str, runtime: Runtime, *, apparmor: str = ""
) -> dict[str, Any]:
    """The body of the engine's `POST /containers/create` (Engine API 1.41)."""
    return {
        "Image": image_id,
        # The first process is not the agent's, so the agent cannot end it; it ends by itself when nobody comes back for it.
        "User": HARVEST,
        "Entrypoint": ["/usr/bin/tini", "--"],
        "Cmd": attendant.command(patience_seconds(spec)),
        "OpenStdin": True,  # and it stays open when whoever said a word goes
        "Env": [f"{name}={value}" for name, value in ENVIRONMENT.items()],
        "WorkingDir": "/",
        "Hostname": HOSTNAME,
        "Labels": container_labels,
        "HostConfig": _host_config(spec, _security_options(seccomp, apparmor), runtime),
    }


def _security_options(seccomp: str, apparmor: str) -> list[str]:
    """An AppArmor profile only where one is named: without, an engine that has AppArmor takes its own."""
    return ["no-new-privileges:true", f"seccomp={seccomp}", *([f"apparmor={apparmor}"] if apparmor else [])]


def _host_config(spec: SandboxSpec, security_options: list[str], runtime: Runtime) -> dict[str, Any]:
    memory = runtime.memory_bytes(memory_bytes(spec))
    return {
        # No network: an internal one reaches the host's own services on the bridge address.
        "NetworkMode": "none",
        # Nothing answers there: without these the engine copies the host's name servers and domains into the sandbox.
        "Dns": ["127.0.0.1"],
        "DnsSearch": ["."],
        "DnsOptions": ["attempts:1", "timeout:1"],
        "ReadonlyRootfs": True,
        "Privileged": False,
        "CapDrop": ["ALL"],
        "SecurityOpt": security_options,
        "IpcMode": "private",
        "PidMode": "",
        "CgroupnsMode": "private",
        "Runtime": runtime.name,
        "Memory": memory,
        "MemorySwap": memory,  # equal to Memory: no swap
        "NanoCpus": int(spec.limits.cpus * 1_000_000_000),
        "PidsLimit": processes_limit(spec, runtime),
        "OomScoreAdj": 500,  # under memory pressure the host ends a sandbox before it ends itself
        "Ulimits": [{"Name": "nofile", "Soft": 16_384, "Hard": 16_384}, {"Name": "core", "Soft": 0, "Hard": 0}],
        "Tmpfs": _tmpfs(spec),
        "Mounts": _mounts(spec),
        # Not removed by the engine: why a sandbox died that nobody ended is asked of it afterwards. A runner removes what it finds.
        "AutoRemove": False,
        # What the first process says: the steps' complaints. The agent's output is never in it.
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "256k", "max-file": "1"}},
    }


def _tmpfs(spec: SandboxSpec) -> dict[str, str]:
    sizes = disks(spec)
    agents = "rw,nosuid,nodev,exec,mode=0755,uid=10001,gid=10001"
    options = {
        WORKSPACE: agents,
        HOME: agents,
        "/tmp": "rw,nosuid,nodev,exec,mode=1777",  # noqa: S108 - the sandbox's, not the host's
        # A disk of its own: taking a checkpoint must not fill the agent's, nor the agent the harvest's.
        CHECKPOINT: "rw,nosuid,nodev,noexec,mode=0700,uid=10001,gid=10001",
        "/base": "rw,nosuid,nodev,noexec,mode=0755,uid=10002,gid=10002",
        # In the place of the engine's own, whose files nobody counts.
        SHARED: "rw,nosuid,nodev,noexec,mode=1777",
    }
    return {place: f"{rights},size={sizes[place]},nr_inodes={inodes(sizes[place])}" for place, rights in options.items()}


def _mounts(spec: SandboxSpec) -> list[dict[str, Any]]:
    if spec.door is None:
        return []
    # Read-only still connects; read-write let an agent write to the host's disk.
    return [
        {"Type": "bind", "Source": str(spec.door), "Target": DOOR, "ReadOnly": True, "BindOptions": {"Propagation": "rprivate"}},
    ]
