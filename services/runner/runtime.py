"""The program that the engine starts containers with, and what it does to their limits. No I/O.

gVisor is a kernel of its own and a process of the host: its threads, and (platform `ptrace`) those that stand for processes inside, count
against the container's limits. The limit of processes is no error that a program inside could see: gVisor ends, and the sandbox with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, cast

MIB = 1024 * 1024
_GVISOR = "runsc"
_TASKS_EACH = 16
"""Of the host for a process inside. Seen under ptrace: 8 where they wait, up to 50 where a hundred of them start others all the time."""
_OWN_TASKS = 256
"""45 were seen before anything ran."""
_OWN_MEMORY = 128 * MIB
"""12 MiB were seen, and half a MiB for each process."""


@dataclass(frozen=True)
class Runtime:
    """A runtime that the engine knows by this name."""

    name: str = "runc"
    own_kernel: bool = False

    @classmethod
    def of(cls, name: str, info: Mapping[str, Any]) -> "Runtime":
        """As the engine's `GET /info` describes it; an operator may call gVisor what he likes."""
        known = cast("dict[str, dict[str, Any]]", info.get("Runtimes") or {}).get(name) or {}
        program = PurePosixPath(str(known.get("path") or "")).name
        return cls(name, any(_GVISOR in part for part in (name, program, str(known.get("runtimeType") or ""))))

    def tasks(self, processes: int) -> int:
        """What the host may count for so many processes inside. Where the kernel is another this bounds the harm, and is no exact limit."""
        return processes * _TASKS_EACH + _OWN_TASKS if self.own_kernel else processes

    def memory_bytes(self, inside: int) -> int:
        """What the host may count for so much memory inside."""
        return inside + (_OWN_MEMORY if self.own_kernel else 0)
