"""Which process is which: a pid alone may have gone to another process, a pid with its start time never does."""

import os
import select
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MARKER = "ASYNC_CODE_DEPLOYMENT"
"""In the environment of every process that a supervisor starts, and so of all their children: what belongs to which deployment."""

_START_TIME_FIELD = 19  # proc(5): field 22, counted from the one after the command's closing parenthesis
_STATE_FIELD = 0


@dataclass(frozen=True)
class Identity:
    """A process for as long as it lives."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> "Identity":
        """The process that has `pid` now. Raises ProcessLookupError."""
        return cls(pid, int(_stat(pid)[_START_TIME_FIELD]))

    @classmethod
    def read(cls, path: Path) -> "Identity | None":
        """What `text()` wrote, if the file holds it."""
        try:
            pid, started = path.read_text().split()
            return cls(int(pid), int(started))
        except (FileNotFoundError, ValueError):
            return None

    def text(self) -> str:
        """One line for a pid file."""
        return f"{self.pid} {self.started}\n"

    def alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        try:
            fields = _stat(self.pid)
        except ProcessLookupError:
            return False
        return int(fields[_START_TIME_FIELD]) == self.started and fields[_STATE_FIELD] != "Z"

    def end(self, grace_seconds: float, first: signal.Signals = signal.SIGTERM) -> bool:
        """Ask it to stop, kill it after the grace; whether it is gone. Never signals another process that took the pid."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            for number, patience in ((first, grace_seconds), (signal.SIGKILL, 10.0)):
                if not self.alive():
                    return True
                signal.pidfd_send_signal(descriptor, number)
                if select.select([descriptor], [], [], patience)[0]:
                    return True
            return not self.alive()
        except ProcessLookupError:
            return True
        finally:
            os.close(descriptor)


def belonging_to(deployment: str) -> Iterator[Identity]:
    """Every living process that carries this deployment's marker, as far as the caller may look."""
    marker = f"{MARKER}={deployment}".encode()
    for pid in _pids():
        try:
            if marker in (Path("/proc") / str(pid) / "environ").read_bytes().split(b"\0"):
                yield Identity.of(pid)
        except (OSError, ValueError):  # gone meanwhile, or another user's
            continue


def working_below(directory: Path, program: str) -> Iterator[Identity]:
    """Processes of `program` whose working directory lies in `directory`: Postgres overwrites its environment with its title."""
    for pid in _pids():
        proc = Path("/proc") / str(pid)
        try:
            if (proc / "exe").readlink().name == program and (proc / "cwd").readlink().is_relative_to(directory):
                yield Identity.of(pid)
        except (OSError, ValueError):  # gone meanwhile, or another user's
            continue


def sweep(deployment: str, postgres: Path) -> int:
    """Kill what an earlier supervisor left; how many there were."""
    count = 0
    while left := {*belonging_to(deployment), *working_below(postgres, "postgres")} - {_myself()}:
        for identity in left:
            count += 1
            identity.end(0, signal.SIGKILL)
    return count


def _myself() -> Identity:
    return Identity.of(os.getpid())


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _stat(pid: int) -> list[str]:
    try:
        text = (Path("/proc") / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise ProcessLookupError(pid) from error
    return text.rpartition(")")[2].split()
