import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

from deploy.embedded.identity import MARKER, Identity, belonging_to, sweep

# It says when it is there, then waits for the end of its input.
SLEEPER = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
STUBBORN = [sys.executable, "-c", "import signal, sys; signal.signal(15, signal.SIG_IGN); print(flush=True); sys.stdin.read()"]


def start(argv: list[str], marker: str = "") -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={MARKER: marker})
    assert process.stdout is not None
    process.stdout.readline()
    return process


def finish(process: "subprocess.Popen[bytes]") -> int:
    with process:
        return process.wait(10)


def test_a_process_is_known_by_pid_and_start_time(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text(Identity.of(os.getpid()).text())
    me = Identity.read(tmp_path / "pid")
    assert me == Identity.of(os.getpid())
    assert me is not None
    assert me.alive()
    assert not Identity(me.pid, me.started + 1).alive()
    assert Identity.read(tmp_path / "absent") is None


def test_another_process_with_the_same_pid_is_never_signalled() -> None:
    process = start(SLEEPER)
    real = Identity.of(process.pid)
    assert Identity(real.pid, real.started + 1).end(0)
    assert real.alive()
    assert real.end(10)
    assert finish(process) == -signal.SIGTERM


def test_what_does_not_stop_is_killed() -> None:
    process = start(STUBBORN)
    assert Identity.of(process.pid).end(0.1)
    assert finish(process) == -signal.SIGKILL


def test_a_sweep_ends_what_carries_the_marker_and_nothing_else(tmp_path: Path) -> None:
    mine, other = str(uuid.uuid4()), str(uuid.uuid4())
    left, foreign = start(SLEEPER, mine), start(SLEEPER, other)
    assert [found.pid for found in belonging_to(mine)] == [left.pid]
    assert sweep(mine, tmp_path) == 1
    assert finish(left) == -signal.SIGKILL
    assert Identity.of(foreign.pid).end(10)
    finish(foreign)
