"""Which walls a sandbox has on this engine: what the engine says, what was seen from inside a trial, and what is refused without. No I/O.

Must never count a wall that was only asked for: an engine drops what it cannot do with a warning that nobody reads.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from shared.events.values import Protection

REQUIRED = frozenset(Protection) - {Protection.APPARMOR, Protection.USER_NAMESPACE, Protection.ROOTLESS, Protection.OWN_KERNEL}
"""A sandbox without one of these is not started, unless the operator names it. The rest is used where it is there."""

_WHY: Mapping[Protection, str] = {
    Protection.SECCOMP: "system calls are not filtered as told: this takes a kernel and an engine with seccomp",
    Protection.MEMORY_LIMIT: "memory is not limited: enable the memory controller (boot with cgroup_enable=memory)",
    Protection.SWAP_LIMIT: "a sandbox may take the host's swap: boot with swapaccount=1, or use cgroup v2",
    Protection.PIDS_LIMIT: "processes are not limited: enable the pids controller",
    Protection.CPU_LIMIT: "processors are not limited: this takes a kernel with CONFIG_CFS_BANDWIDTH",
    Protection.DISK_LIMIT: "disks have another size than they were given",
    Protection.NO_NETWORK: "a sandbox without a network had one",
    Protection.READ_ONLY_ROOT: "a sandbox could write to its image",
    Protection.NO_CAPABILITIES: "a sandbox had capabilities",
    Protection.NO_NEW_PRIVILEGES: "a sandbox could gain privileges",
    Protection.APPARMOR: "RUNNER_APPARMOR_PROFILE does not confine sandboxes: load it, and see that `docker info` names apparmor",
}
_LIMITS: Mapping[Protection, str] = {
    Protection.MEMORY_LIMIT: "MemoryLimit",
    Protection.SWAP_LIMIT: "SwapLimit",
    Protection.PIDS_LIMIT: "PidsLimit",
    Protection.CPU_LIMIT: "CpuCfsQuota",
}
_OPTIONS: Mapping[Protection, str] = {Protection.USER_NAMESPACE: "userns", Protection.ROOTLESS: "rootless"}
_NO_NAME = re.compile(r"[^A-Za-z0-9:._/@$-]")


@dataclass(frozen=True)
class EngineSays:
    """`GET /info`, as far as it matters here."""

    version: str
    kernel: str
    cgroup_version: Literal[1, 2]
    storage_driver: str
    runtimes: frozenset[str]
    protections: frozenset[Protection]

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> "EngineSays":
        """Reads the engine's answer; what it leaves out is not there."""
        named = {option.split(",")[0].removeprefix("name=") for option in cast("list[str]", info.get("SecurityOptions") or [])}
        return cls(
            version=_name(info.get("ServerVersion")),
            kernel=_name(info.get("KernelVersion")),
            cgroup_version=2 if str(info.get("CgroupVersion")) == "2" else 1,
            storage_driver=_name(info.get("Driver")),
            runtimes=frozenset(cast("dict[str, object]", info.get("Runtimes") or {})),
            protections=frozenset(
                {protection for protection, field in _LIMITS.items() if info.get(field) is True}
                | {protection for protection, option in _OPTIONS.items() if option in named}
            ),
        )


@dataclass(frozen=True)
class Seen:
    """What a program saw from inside a trial sandbox."""

    protections: frozenset[Protection]
    kernel: str
    """Another than the engine's where the sandbox has one of its own, as under gVisor: then its filter is that kernel."""


def present(engine: EngineSays, seen: Seen) -> frozenset[Protection]:
    """The walls that are there."""
    own_kernel = {Protection.OWN_KERNEL, Protection.SECCOMP} if _name(seen.kernel) != engine.kernel else frozenset[Protection]()
    return engine.protections | seen.protections | own_kernel


def advice(lacking: Iterable[Protection]) -> str:
    """What is wrong and what to do, for the person who started it."""
    names = sorted(lacking)
    reasons = "; ".join(f"{name}: {_WHY[name]}" for name in names)
    return f"the Docker engine lacks what sandboxes need ({reasons}). Mend that, or name what they may go without: {','.join(names)}"


@dataclass(frozen=True)
class Walls:
    """What was found at the start. `seen` is None where there was no image to try anything in."""

    engine: EngineSays
    seen: Seen | None
    required: frozenset[Protection]
    allowed_missing: frozenset[Protection]

    @property
    def there(self) -> frozenset[Protection]:
        """What protects a sandbox."""
        return self.engine.protections if self.seen is None else present(self.engine, self.seen)

    @property
    def missing(self) -> frozenset[Protection]:
        """What is required and not there: of what was not tried, nothing is known."""
        known = self.required if self.seen is not None else self.required & frozenset(_LIMITS)
        return known - self.there

    def about(self) -> dict[str, list[str]]:
        """For `/readyz`."""
        return {"protections": sorted(self.there), "missing": sorted(self.missing)}


def _name(value: object) -> str:
    """As a fact carries it."""
    return _NO_NAME.sub("-", str(value or ""))[:256]
