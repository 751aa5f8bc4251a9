"""The whole embedded stack as an operator starts it: `python -m cli up` on a state directory of its own, real services, real sandboxes."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx

from cli import events
from cli.client import Client, Json
from cli.exits import OF_STATE
from cli.sessions import SessionFile
from deploy.embedded import daemon
from deploy.embedded.identity import Identity
from deploy.embedded.state import Layout

ROOT = Path(__file__).parents[2]
END_SECONDS = 120.0
RESTART_SECONDS = 45.0
MODEL_KEY = "sk-ant-api03-planted-model-key-9f8e7d6c5b4a"
OPENAI_KEY = "sk-proj-planted-openai-key-0a1b2c3d4e5f"
MODEL_KEYS = {"anthropic": MODEL_KEY, "openai": OPENAI_KEY}
GIT_TOKEN = "planted-git-token-1a2b3c4d5e6f"
SHELL_SECRET = f"planted-in-the-operators-shell-{secrets.token_hex(8)}"
"""Another one each time: the commands of tests that run beside these have theirs in their environment, as an operator's would."""


def _port() -> int:
    """A free port below those that outgoing connections and other tests' servers get."""
    while True:
        port = 12_000 + secrets.randbelow(8_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Stack:
    """One deployment. Everything it leaves lies under `root`, which `remove` deletes."""

    def __init__(self, settings: dict[str, str]) -> None:
        # Below /var/lib: pytest's own directories are closed to the services' users.
        self.root = Path(tempfile.mkdtemp(prefix="async-code-test-", dir="/var/lib"))
        self.root.chmod(0o755)
        # Of its own: the first free port from 8400 on may be another stack's by the time this one comes back from a stop.
        # No start of these waits for this machine's package clients to say where they go.
        nowhere = {f"PACKAGES_{name}": "none" for name in ("PIP", "NPM", "CARGO", "GO", "DEBIAN", "FILE_ORIGINS")}
        self.settings = {"HTTP_PORT": str(_port()), **nowhere, **settings}
        self._users = 0
        self._clients: list[Client] = []

    def command(self, *arguments: str, check: bool = True, timeout: float = 240, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run the command line as an operator of this deployment would."""
        done = subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            cwd=ROOT,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.logs()}"
        return done

    @property
    def environment(self) -> dict[str, str]:
        """The operator's shell, in which a key is planted that no process of the stack may inherit."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "ASYNC_CODE_STATE_DIR": str(self.root),
            "PLANTED_IN_THE_SHELL": SHELL_SECRET,
            **{f"ASYNC_CODE_{name}": value for name, value in self.settings.items()},
        }

    def up(self) -> None:
        """Start, or wait until it is ready again."""
        self.command("up", "--no-images")

    def down(self) -> None:
        """Stop everything."""
        self.command("down")

    def remove(self) -> None:
        """Delete the state."""
        for client in self._clients:
            client.close()
        subprocess.run(["/bin/rm", "-rf", "--one-file-system", str(self.root)], check=True)

    @property
    def config(self) -> Json:
        """Ports and the deployment's id."""
        return cast("Json", json.loads((self.root / "config.json").read_text()))

    @property
    def url(self) -> str:
        """The API's address."""
        return f"http://127.0.0.1:{self.config['http_port']}"

    def status(self) -> Json:
        """What `status` says, for programs."""
        return cast("Json", json.loads(self.command("status", "--json", check=False).stdout))

    def pid(self, process: str) -> int:
        """The process that runs under this name now."""
        line = next(line for line in self.status()["processes"] if line["name"] == process)
        return int(line["pid"])

    def kill(self, process: str) -> None:
        """SIGKILL, as a crash; the supervisor starts it again."""
        os.kill(self.pid(process), signal.SIGKILL)

    def restart(self, process: str) -> None:
        """As the supervisor stops a process: it ends what it does, within its grace. The supervisor starts it again."""
        signalled = signal.SIGINT if process == "postgres" else signal.SIGTERM  # Postgres's fast shutdown
        assert Identity.of(self.pid(process)).end(RESTART_SECONDS, signalled), f"{process} does not stop\n{self.logs()}"

    def user(self) -> "Person":
        """Somebody new, signed up and signed in."""
        self._users += 1
        email, password = f"user{self._users}-{time.time_ns()}@example.org", "a long enough passphrase"
        auth = f"http://127.0.0.1:{self.config['ports']['auth']}/auth/v1"
        httpx.post(f"{auth}/signup", json={"email": email, "password": password}, timeout=30).raise_for_status()
        sessions = SessionFile({"XDG_CONFIG_HOME": str(self.root / "test-users" / email)})
        client = Client(self.url, sessions)
        self._clients.append(client)
        client.sign_in(email, password)
        return Person(client)

    def logs(self) -> str:
        """The last lines of every log, for a failing test."""
        tails = (
            f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-15:])
            for path in sorted((self.root / "log").glob("*.log"))
        )
        return "\n".join(tails)

    def containers(self) -> list[str]:
        """Every sandbox of this deployment that exists; while it is up, those that wait for a run are as it wants them."""
        label = f"label=async-code.deployment={self.config['deployment']}"
        command = ["/usr/bin/env", "docker", "ps", "--all", "--no-trunc", "--filter", label, "--format", "{{.ID}} {{.Names}}"]
        listed = subprocess.run(command, check=True, capture_output=True, text=True)
        found = [line.split() for line in listed.stdout.splitlines()]
        return [container_id for container_id, name in found if not (name.startswith("async-code-warm-") and self.is_up)]

    @property
    def is_up(self) -> bool:
        """Whether its supervisor lives."""
        return daemon.running(Layout(self.root)) is not None


@dataclass
class Person:
    """Somebody who uses the API."""

    client: Client

    def project(self, url: str, **options: Any) -> str:
        """A project with this repository; gives its id."""
        project = self.client.post("/v1/projects", {"name": "p", **options})
        self.client.post(f"/v1/projects/{project['id']}/repositories", {"url": url})
        return str(project["id"])

    def task(self, project: str, prompt: str, agent: str = "shell", **options: Any) -> str:
        """Hand in a task; gives its id."""
        return str(self.client.post("/v1/tasks", {"project_id": project, "prompt": prompt, "agent": agent, **options})["id"])

    def get(self, task: str) -> Json:
        """The task as it is now."""
        return self.client.get(f"/v1/tasks/{task}")

    def follow(self, task: str) -> Iterator[events.ServerEvent]:
        """Its events, for at most END_SECONDS."""
        deadline = time.monotonic() + END_SECONDS
        for event in events.follow(self.client, task):
            yield event
            assert time.monotonic() < deadline, f"the task has not ended: {self.get(task)}"

    def until(self, task: str, *states: str) -> Json:
        """Wait until the task is in one of these states, or ended, or waits for a person; gives the task."""
        wanted = set(states) or {str(state) for state in OF_STATE}
        for event in self.follow(task):
            if event.name in {"snapshot", "state"} and event.data["state"] in wanted:
                break
        return self.get(task)
