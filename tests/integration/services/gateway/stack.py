"""A gateway as a process of a test's own, with the real servers it needs, and the people and services that talk to it."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from deploy.embedded.process import HttpReady, is_ready
from shared.bus.connection import Bus
from shared.events import envelope
from shared.events.envelope import AnyEnvelope
from shared.events.payload import Payload
from shared.secrets import Keyring
from tests.integration.deploy.embedded.auth_server import AuthServer
from tests.servers.nats import NatsServer, free_port
from tests.servers.postgres import PostgresDatabase

PASSWORD = "correct horse battery"
Json = dict[str, Any]


@dataclass
class Gateway:
    """One gateway process, and how to start it again on the same port."""

    nats: NatsServer
    database: PostgresDatabase
    auth: AuthServer
    directory: Path
    variables: dict[str, str] = field(default_factory=dict[str, str])
    port: int = field(default_factory=free_port)
    health_port: int = field(default_factory=free_port)
    git_keys: Keyring = field(default_factory=Keyring.generate)
    egress_keys: Keyring = field(default_factory=Keyring.generate)
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log_file(self) -> Path:
        return self.directory / "gateway.log"

    async def start(self, *, wait: bool = True) -> None:
        self.git_keys.primary.export(self.directory / "git-key.json")
        self.egress_keys.primary.export(self.directory / "egress-key.json")
        with self.log_file.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.gateway", env=self._environment(), stderr=log, stdout=log
            )
        while wait and not await is_ready(HttpReady(self.health_port)):
            assert self.process.returncode is None, self.log_file.read_text()

    async def kill(self) -> None:
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> int:
        if self.process is None:
            return 0
        if self.process.returncode is None:
            self.process.send_signal(number)
        code = await self.process.wait()
        self.process = None
        return code

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin",
            **self.database.environment("gateway"),
            "NATS_URL": self.nats.url,
            "NATS_USER": "gateway",
            "NATS_NKEY_FILE": str(self.nats.rendered.seed_file("gateway")),
            "HEALTH_PORT": str(self.health_port),
            "GATEWAY_PORT": str(self.port),
            "GATEWAY_AUTH_ISSUER": f"{self.auth.url}/auth/v1",
            "GATEWAY_AUTH_JWKS_URL": f"{self.auth.url}/auth/v1/.well-known/jwks.json",
            "GATEWAY_GIT_PUBLIC_KEY_FILE": str(self.directory / "git-key.json"),
            "GATEWAY_EGRESS_PUBLIC_KEY_FILE": str(self.directory / "egress-key.json"),
            "GATEWAY_ALLOW_REPOSITORY_SCHEMES": '["https", "file"]',
            "GATEWAY_STREAM_HEARTBEAT_SECONDS": "0.5",
            "GATEWAY_PACKAGES": '["pip", "npm", "cargo", "go"]',
            **self.variables,
        }

    @asynccontextmanager
    async def person(self, name: str) -> AsyncGenerator["Person"]:
        """Somebody who has signed up at the real auth server."""
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(f"{self.auth.url}/auth/v1/signup", json={"email": f"{name}@example.com", "password": PASSWORD})
        session = answer.json()
        headers = {"authorization": f"Bearer {session['access_token']}"}
        async with httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30, trust_env=False) as client:
            yield Person(session["user"]["id"], session["access_token"], client)

    @asynccontextmanager
    async def service(self, name: str) -> AsyncGenerator["Service"]:
        """Another service on the bus."""
        bus = await Bus.connect(self.nats.settings(name))
        try:
            yield Service(name, bus)
        finally:
            await bus.stop()


@dataclass
class Service:
    """Another service, as far as the gateway hears of it."""

    name: str
    bus: Bus

    async def says(self, task: "Task | None", payload: Payload) -> AnyEnvelope:
        told = envelope.new(payload, source=self.name, owner=task.owner if task else "-", task=task.id if task else "-")
        await self.bus.publish(told)
        return told


@dataclass(frozen=True)
class Task:
    """A task of somebody."""

    id: str
    owner: str


@dataclass
class Person:
    """Somebody signed in."""

    id: str
    token: str
    http: httpx.AsyncClient

    async def post(self, path: str, body: Json | None = None, **headers: str) -> Json:
        """A POST that must succeed."""
        answer = await self.http.post(path, json=body or {}, headers=headers)
        assert answer.is_success, answer.text
        return answer.json()

    async def get(self, path: str, **query: str) -> Json:
        """A GET that must succeed."""
        answer = await self.http.get(path, params=query)
        assert answer.is_success, answer.text
        return answer.json()

    async def project(self, url: str = "file:///srv/git/one.git") -> str:
        """A project with one repository; its id."""
        project = await self.post("/v1/projects", {"name": "One"})
        await self.post(f"/v1/projects/{project['id']}/repositories", {"url": url})
        return project["id"]

    async def task(self, project: str | None = None, prompt: str = "echo hello") -> Task:
        """A task that was handed in."""
        body = {"project_id": project or await self.project(), "agent": "shell", "prompt": prompt}
        return Task((await self.post("/v1/tasks", body))["id"], self.id)

    async def shown(self, task: Task, **wanted: Any) -> Json:
        """The task as soon as it shows what is wanted: the read model follows the facts."""
        async with asyncio.timeout(20):
            while True:
                view = await self.get(f"/v1/tasks/{task.id}")
                if all(view[name] == value for name, value in wanted.items()):
                    return view

    @asynccontextmanager
    async def events(self, task: Task, last_id: str | None = None) -> AsyncGenerator[AsyncIterator["Event"]]:
        """The task's event stream."""
        headers = {"last-event-id": last_id} if last_id else {}
        async with self.http.stream("GET", f"/v1/tasks/{task.id}/events", headers=headers) as answer:
            assert answer.status_code == 200, await answer.aread()
            assert answer.headers["content-type"].startswith("text/event-stream")
            yield _parsed(answer.aiter_lines())


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    name: str
    id: str
    data: Any


async def _parsed(lines: AsyncIterator[str]) -> AsyncIterator[Event]:
    fields: dict[str, str] = {}
    async for line in lines:
        if not line and fields:
            yield Event(fields["event"], fields["id"], json.loads(fields["data"]))
            fields = {}
        elif line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
