"""A Docker engine of a test's own, which may be stopped, killed and started while everybody else's goes on.

It lives in a network namespace of its own: an engine without a bridge deletes a `docker0` that it sees (verified), and that is another's.
Sandboxes have no network, so it needs none. It holds one image, taken over from the shared engine.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.embedded import docker_engine

START_SECONDS = 60.0
STOP_SECONDS = 60.0


class Engine:
    """One `dockerd` with everything it owns below `root`."""

    def __init__(self, root: Path, configuration: Mapping[str, Any]) -> None:
        self.root = root
        self._configuration = configuration
        self.host = f"unix://{root}/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns once it answers."""
        arguments = {
            "--host": self.host,
            "--data-root": str(self.root / "data"),
            "--exec-root": str(self.root / "exec"),
            "--pidfile": str(self.root / "pid"),
            "--config-file": str(self.root / "daemon.json"),
            "--bridge": "none",
            "--group": "docker",
        }
        (self.root / "daemon.json").write_text(json.dumps(dict(self._configuration)))
        command = ["/usr/bin/unshare", "--net", _program(), *(part for pair in arguments.items() for part in pair), "--iptables=false"]
        with (self.root / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        deadline = time.monotonic() + START_SECONDS
        while not docker_engine.answers(self.host):
            assert self._process.poll() is None, (self.root / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, (self.root / "log").read_text()[-2000:]

    def stop(self) -> None:
        """As an operator does: its containers end, then it."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a crash: its containers live on until it is started again."""
        self._end(signal.SIGKILL)
        # Its containerd dies with it. Where the machine's first process is slow to bury it, the next engine takes it for alive.
        (self.root / "exec/containerd/containerd.pid").unlink(missing_ok=True)

    def take_over(self, image: str) -> None:
        """Copy an image from the shared engine."""
        loading = ["/usr/bin/env", *docker_engine.client(self.host), "load", "--quiet"]
        with subprocess.Popen(["/usr/bin/env", "docker", "save", image], stdout=subprocess.PIPE) as saving:
            subprocess.run(loading, stdin=saving.stdout, check=True)
        assert saving.returncode == 0

    def counterfeit(self, image: str, name: str, program: Path) -> None:
        """`image` under another's name, with this program in the place of the agent's."""
        client = ["/usr/bin/env", *docker_engine.client(self.host)]
        made = subprocess.run(
            [*client, "create", "--network", "none", image, "/bin/true"], check=True, capture_output=True, text=True
        ).stdout.strip()
        subprocess.run([*client, "cp", str(program), f"{made}:/usr/local/bin/{program.name}"], check=True, capture_output=True)
        subprocess.run([*client, "commit", made, name], check=True, capture_output=True)
        subprocess.run([*client, "rm", made], check=True, capture_output=True)

    def containers(self) -> list[str]:
        """Every container it knows."""
        command = ["/usr/bin/env", *docker_engine.client(self.host), "ps", "--all", "--quiet"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            self._process.wait(STOP_SECONDS)


@contextmanager
def own_engine(image: str, **configuration: Any) -> Generator[Engine]:
    """A running engine that holds this image, with these lines in its daemon.json; gone afterwards, with all it made."""
    root = Path(tempfile.mkdtemp(prefix="async-code-engine-", dir="/var/lib"))
    root.chmod(0o711)  # the runner's user reaches the socket in it
    engine = Engine(root, configuration)
    try:
        engine.start()
        engine.take_over(image)
        yield engine
    finally:
        if not docker_engine.answers(engine.host):
            engine.start()  # only an engine ends its containers
        engine.stop()
        _unmounted(root)
        shutil.rmtree(root)


def _program() -> str:
    found = shutil.which("dockerd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin")
    assert found is not None, "these tests need dockerd: apt-get install docker.io"
    return found


def _unmounted(root: Path) -> None:
    """What a killed engine left mounted."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((mount for mount in mounts if mount.startswith(f"{root}/")), reverse=True):
        subprocess.run(["/usr/bin/umount", "--lazy", mount], check=False)
