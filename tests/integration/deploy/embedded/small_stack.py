"""A supervisor over the real servers, the real auth server and one small dummy, in a state directory of a test's own.

Run as a module it is the daemon with that smaller table; `SmallStack` starts, watches and ends it from a test.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy.embedded import daemon, install
from deploy.embedded.identity import Identity
from deploy.embedded.process import Process, TcpReady
from deploy.embedded.processes import Deployment, table
from deploy.embedded.state import Layout

CHECKOUT = Path(__file__).parents[4]
SERVERS = ("nats", "postgres", "provision", "auth")
# It listens, and starts a child of its own that outlives it unless somebody ends it.
_DUMMY = """
import socket, subprocess, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
while True:
    server.accept()[0].close()
"""


def small_table(deployment: Deployment) -> Sequence[Process]:
    """The servers of the real table, and the dummy in the gateway's place."""
    servers = tuple(process for process in table(deployment) if process.name in SERVERS)
    port = deployment.config.ports["gateway_health"]
    dummy = Process(
        name="dummy",
        argv=(deployment.app.python, "-c", _DUMMY, str(port)),
        env=servers[-1].env,
        user=deployment.users["gateway"],
        cwd=deployment.app.code,
        ready=TcpReady(port),
        after=("auth",),
    )
    return (*servers, dummy)


class SmallStack:
    """One state directory; the supervisor comes and goes."""

    def __init__(self, directory: Path) -> None:
        self.layout = Layout(directory)
        self._process: subprocess.Popen[str] | None = None

    @property
    def process(self) -> "subprocess.Popen[str]":
        """The supervisor."""
        assert self._process is not None
        return self._process

    @property
    def running(self) -> bool:
        """Whether there is a supervisor."""
        return self._process is not None

    def start(self) -> None:
        """Start it and wait until everything is ready."""
        command = [sys.executable, "-m", "tests.integration.deploy.embedded.small_stack", str(self.layout.root)]
        # A key of the operator's shell, to be found nowhere in the stack.
        environment = {**os.environ, "ANTHROPIC_API_KEY": "planted-operator-key"}
        self._process = subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, text=True)
        self.wait_for(lambda message: bool(message.get("ready")))

    def wait_for(self, wanted: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
        """The next message of the supervisor that is wanted."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            message = json.loads(line)
            if wanted(message):
                return message
        raise AssertionError(f"the supervisor ended with {self.process.wait(10)}")

    def pid(self, name: str) -> int:
        """Of a process, as the status file says."""
        processes = json.loads(self.layout.status.read_text())["processes"]
        return next(process["pid"] for process in processes if process["name"] == name)

    def identities(self) -> list[Identity]:
        """Every server and service that runs."""
        processes = json.loads(self.layout.status.read_text())["processes"]
        return [Identity.of(process["pid"]) for process in processes if process["pid"]]

    def end(self, number: signal.Signals) -> int:
        """Signal the supervisor and wait for its end."""
        with self.process as process:
            process.send_signal(number)
            code = process.wait(90)
        self._process = None
        return code

    def close(self) -> None:
        """Leave nothing behind, whatever the test did."""
        if self._process is not None:
            self.end(signal.SIGTERM)


if __name__ == "__main__":
    root = Path(sys.argv[1])
    installed = install.install(CHECKOUT, Path(sys.prefix), root / "app")
    if Path(sys.prefix) != installed.venv:
        # As `up` does: the servers' programs lie beside the interpreter, and their users may not be able to reach the checkout's.
        command = [installed.python, "-m", "tests.integration.deploy.embedded.small_stack", str(root)]
        os.execv(installed.python, command)  # noqa: S606 - no shell is what is wanted
    sys.exit(daemon.run(root, installed, daemon.to_descriptor(sys.stdout.fileno()), small_table))
