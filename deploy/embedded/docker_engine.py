"""Sees to it that a Docker engine answers; starts one only where none does, and stops only the one it started.

A second engine beside a running one takes down its networks, so the question "does one answer?" comes first, always.
"""

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
import time
from pathlib import Path

from deploy.embedded import settings
from deploy.embedded.identity import Identity
from deploy.embedded.state import Layout, default_root
from deploy.embedded.users import DOCKER_SOCKET

WAIT_SECONDS = 60
# What an engine needs to pull an image. It outlives the shell that `up` was typed in, whose keys are none of its business.
_PASSED_ON = ("PATH", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR")


class NoEngine(RuntimeError):
    """No Docker engine answers and none can be started; the text says what to do."""


def client(host: str | None) -> list[str]:
    """The Docker client for this engine; None: for the one that this environment points to."""
    return ["docker", *(("--host", host) if host is not None else ())]


def answers(host: str | None = None) -> bool:
    """Whether an engine answers: this one, or the one that this environment points to."""
    if shutil.which("docker") is None:
        return False
    command = [*client(host), "version", "--format", "{{.Server.Version}}"]
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def ensure(layout: Layout, host: str | None = None) -> None:
    """Return once an engine answers. One that the operator names is the operator's to start. Raises NoEngine."""
    if answers(host):
        return
    if host is not None:
        raise NoEngine(f"no Docker engine answers at {host}: start it, or correct ASYNC_CODE_DOCKER_HOST")
    if os.geteuid() != 0:
        user = pwd.getpwuid(os.geteuid()).pw_name
        raise NoEngine(advice(user, runs=DOCKER_SOCKET.is_socket(), allowed=os.access(DOCKER_SOCKET, os.W_OK)))
    if _systemd():
        print("starting docker (systemctl start docker)", file=sys.stderr)
        subprocess.run(["/usr/bin/systemctl", "start", "docker"], check=False, timeout=WAIT_SECONDS)
        _wait(layout, None)
    else:
        _wait(layout, _start(layout))


def advice(user: str, *, runs: bool, allowed: bool) -> str:
    """What somebody other than root has to have done: only root starts an engine or opens one to a user."""
    if not runs:
        return "no Docker engine runs. Have it started: sudo systemctl start docker (without systemd: sudo dockerd)"
    if allowed:
        return "the Docker engine does not answer. Have it started again: sudo systemctl restart docker"
    return (
        f"{user} may not use the Docker engine. Run: sudo usermod --append --groups docker {user}, then sign in anew. "
        "Who may use it is as good as root on this machine."
    )


def stop_ours(layout: Layout) -> bool:
    """Stop the engine that `ensure` started for this state directory; whether there was one."""
    pid_file = _pid_file(layout)
    ours = Identity.read(pid_file)
    if ours is None:
        return False
    stopped = ours.alive() and ours.end(grace_seconds=30)
    pid_file.unlink(missing_ok=True)
    return stopped


def _systemd() -> bool:
    return Path("/run/systemd/system").is_dir() and Path("/usr/bin/systemctl").exists()


def _start(layout: Layout) -> "subprocess.Popen[bytes]":
    engine = shutil.which("dockerd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin")
    if engine is None:
        raise NoEngine("no Docker engine answers and dockerd is not installed: apt-get install docker.io iptables")
    layout.docker.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = layout.docker_log
    print(f"starting dockerd (log: {log})", file=sys.stderr)
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [engine], stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/", env=environment
        )
    _pid_file(layout).write_text(Identity.of(process.pid).text())
    return process


def _wait(layout: Layout, started: "subprocess.Popen[bytes] | None") -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not answers():
        if started is not None and started.poll() is not None:
            _pid_file(layout).unlink(missing_ok=True)
            raise NoEngine(f"dockerd ended with {started.returncode}; see {layout.docker_log}")
        if time.monotonic() > deadline:
            raise NoEngine(f"the Docker engine does not answer after {WAIT_SECONDS} s; see {layout.docker_log} or journalctl -u docker")
        time.sleep(0.2)


def _pid_file(layout: Layout) -> Path:
    return layout.docker / "dockerd.pid"


def main() -> int:
    """For ./async-code, before a command that needs containers."""
    layout = Layout(default_root(os.environ, root=os.geteuid() == 0, checkout=Path(__file__).parents[2]))
    try:
        ensure(layout, settings.resolve(settings.load(layout.settings), os.environ).get("DOCKER_HOST"))
    except (NoEngine, settings.BadSetting) as error:
        print(f"async-code: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
