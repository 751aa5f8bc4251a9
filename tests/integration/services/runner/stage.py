"""Everything around a runner, on a real bus: who asks for runs, knows the prompts, decides fates, and what can be seen of it all."""

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import sys
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

from deploy.nats.api import Api
from services.runner.app import runner
from services.runner.docker_factory import DockerSandboxes
from services.runner.sandbox import Leftover
from services.runner.settings import RunnerSettings
from shared.blobs.store import BlobStore
from shared.bus.connection import Bus
from shared.bus.errors import Refused
from shared.bus.streams import Stream
from shared.events import catalogue, commands, envelope, facts, ids
from shared.events.envelope import AnyEnvelope
from shared.events.environments import Environment
from shared.events.ids import RunId
from shared.events.output import OutputLine
from shared.events.questions import AskRunInput, AskSealedCredential, RunInput, SealedCredential
from shared.events.values import BlobClass, BlobRef, Ecosystem, Fate, Limits
from shared.telemetry.health import HealthSettings
from tests.integration.services.runner.inside import SMALL
from tests.integration.services.runner.snapshots import Snapshot
from tests.servers.nats import NatsServer

T = TypeVar("T")
_LOOK_AGAIN_SECONDS = 0.25
ENDINGS = (facts.RunFinished, facts.RunFailed)


@dataclass
class Stage:
    server: NatsServer
    gateway: Bus
    scheduler: Bus
    git: Bus
    docker: DockerSandboxes
    deployment: str
    prompts: dict[str, str] = field(default_factory=dict[str, str])
    environments: dict[str, Environment] = field(default_factory=dict[str, Environment])
    sealed: dict[str, bytes] = field(default_factory=dict[str, bytes])
    """By credential, as the gateway hands them out."""
    stirred: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self) -> None:
        async def run_input(question: AskRunInput) -> RunInput:
            if question.run_id not in self.prompts:
                raise Refused("not_found")
            return RunInput(prompt=self.prompts[question.run_id], environment=self.environments.get(question.run_id))

        async def sealed_credential(question: AskSealedCredential) -> SealedCredential:
            return SealedCredential(sealed=base64.b64encode(self.sealed[question.credential_id]))

        self.gateway.answer(AskRunInput, run_input)
        self.gateway.answer(AskSealedCredential, sealed_credential)
        await self.gateway.start()
        await self.gateway.subscribe("evt.>", lambda _: self.stirred.set())
        await self.gateway.subscribe("out.>", lambda _: self.stirred.set())

    async def command(
        self,
        snapshot: Snapshot,
        prompt: str | None,
        limits: Limits = SMALL,
        agent: str = "shell",
        packages: tuple[Ecosystem, ...] = (),
    ) -> AnyEnvelope:
        """Asks for a run."""
        asked = await self.unsent(snapshot, prompt, limits, agent, packages)
        await self.scheduler.publish(asked)
        return asked

    async def unsent(
        self,
        snapshot: Snapshot,
        prompt: str | None,
        limits: Limits = SMALL,
        agent: str = "shell",
        packages: tuple[Ecosystem, ...] = (),
    ) -> AnyEnvelope:
        """What asks for a run, and is not asked yet."""
        workspace = await BlobStore(self.git).put_file(BlobClass.WORKSPACE, snapshot.tar)
        run_id = RunId(ids.fresh())
        if prompt is not None:
            self.prompts[run_id] = prompt
        payload = commands.RunnerStart(
            run_id=run_id, agent=agent, limits=limits, base_sha=snapshot.base_sha, workspace=workspace, packages=packages
        )
        return envelope.new(payload, source="scheduler", owner=ids.fresh(), task=ids.fresh())

    async def in_environment(
        self,
        snapshot: Snapshot,
        prompt: str,
        environment: Environment,
        packages: tuple[Ecosystem, ...] = (),
        *,
        owner: str = "00000000-0000-4000-8000-000000000001",
        limits: Limits = SMALL,
    ) -> AnyEnvelope:
        """Asks for a run of a project with an environment, always of the same owner."""
        plain = await self.unsent(snapshot, prompt, limits, packages=packages)
        digest = hashlib.sha256(environment.model_dump_json().encode()).hexdigest()
        self.environments[plain.data.run_id] = environment
        payload = plain.data.model_copy(update={"environment": digest})
        asked = envelope.new(payload, source="scheduler", owner=owner, task=ids.fresh())
        await self.scheduler.publish(asked)
        return asked

    async def again(self, command: AnyEnvelope) -> None:
        """The same command as a message of its own, as after a replay."""
        await self.scheduler.store(Stream.CMD, command.nats_subject, command.encode(), str(uuid.uuid4()))

    async def decide(self, command: AnyEnvelope, fate: Fate) -> None:
        run_id = command.data.run_id
        payload = json.dumps({"fate": fate}).encode()
        await self.scheduler.store(Stream.KV_FATE, f"$KV.fate.{run_id}", payload, str(uuid.uuid4()))

    async def facts(self, command: AnyEnvelope) -> list[AnyEnvelope]:
        stored = await self.gateway.read(Stream.EVT, f"evt.*.*.{command.owner}.{command.task}", after=0)
        return [catalogue.parse(message.data) for message in stored]

    async def endings(self, command: AnyEnvelope) -> list[AnyEnvelope]:
        return [fact for fact in await self.facts(command) if isinstance(fact.data, ENDINGS)]

    async def ending(self, command: AnyEnvelope, seconds: float = 60) -> Any:
        """The payload of the one fact that ends the command, as soon as it is there."""
        (fact,) = await self.seen(lambda: self.endings(command), bool, seconds)
        assert fact.causationid == command.id
        return fact.data

    async def seen(self, look: Callable[[], Awaitable[T]], enough: Callable[[T], bool], seconds: float = 60) -> T:
        """What `look` sees as soon as it is enough; it looks whenever something is said on the bus."""
        async with asyncio.timeout(seconds):
            while True:
                self.stirred.clear()
                if enough(found := await look()):
                    return found
                with contextlib.suppress(TimeoutError):  # a subscriber may hear a message before the stream has it to read
                    await asyncio.wait_for(self.stirred.wait(), _LOOK_AGAIN_SECONDS)

    async def output(self, command: AnyEnvelope) -> list[OutputLine]:
        stored = await self.gateway.read(Stream.OUT, f"out.{command.owner}.{command.task}.>", after=0)
        return [OutputLine.model_validate_json(message.data) for message in stored]

    async def says(self, command: AnyEnvelope, text: str) -> None:
        """Returns when the agent has said this."""

        async def said() -> str:
            return "\n".join(line.event.text for line in await self.output(command))

        await self.seen(said, lambda heard: text in heard)

    async def blob(self, ref: BlobRef) -> bytes:
        reader = self.gateway if ref.blob_class is BlobClass.TRANSCRIPT else self.git
        return await BlobStore(reader).get_bytes(ref, 1 << 30)

    async def settled(self, seconds: float = 30) -> None:
        """Returns when no command waits: acks tell nobody, so this looks again and again."""
        api = await self._provisioner()
        try:
            async with asyncio.timeout(seconds):
                while (await api.call("STREAM.INFO.CMD"))["state"]["messages"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        finally:
            await api.close()

    async def _provisioner(self) -> Api:
        return await Api.connect(self.server.url, "provisioner", self.server.rendered.seed_file("provisioner"), None, 10)

    async def shorten_ack_wait(self, seconds: float) -> None:
        """So that a killed runner's command comes back sooner."""
        api = await self._provisioner()
        config = (await api.call("CONSUMER.INFO.CMD.runner"))["config"] | {"ack_wait": int(seconds * 1e9)}
        await api.call(
            f"CONSUMER.CREATE.CMD.runner.{config['filter_subject']}", {"stream_name": "CMD", "config": config, "action": "update"}
        )
        await api.close()

    async def sandboxes(self) -> list[Leftover]:
        """Those of runs; what waits for one comes and goes."""
        return [leftover for leftover in await self.docker.leftovers() if leftover.run_id]

    async def no_sandboxes(self, seconds: float = 30) -> None:
        """Returns when every sandbox is gone: the engine tells nobody, so this looks again and again."""
        async with asyncio.timeout(seconds):
            while await self.sandboxes():  # noqa: ASYNC110
                await asyncio.sleep(0.05)


@asynccontextmanager
async def in_process(
    stage: Stage,
    state_dir: Path,
    image: str,
    lease_seconds: int = 4,
    max_output_mib: int = 48,
    max_checkpoints_mib: int = 512,
    docker_host: str = "unix:///var/run/docker.sock",
    retry_delays_seconds: tuple[float, ...] = (1, 5, 30, 120),
    store_wait_seconds: float = 240,
    health: HealthSettings | None = None,
    grace_seconds: float | None = None,
    checkpoint_turn_seconds: float = 0.5,
    egress_socket: Path | None = None,
    environment_images: tuple[str, ...] = (),
    max_environment_mib: int = 1_024,
    runtime: str = "runc",
) -> AsyncGenerator[None]:
    """The service in this process, on the stage's own deployment."""
    await asyncio.to_thread(state_dir.mkdir, exist_ok=True)
    settings = RunnerSettings(
        state_dir=state_dir,
        deployment=stage.deployment,
        slots=2,
        lease_ttl_seconds=lease_seconds,
        images={"shell": image, "diary": image},
        checkpoint_turn_seconds=checkpoint_turn_seconds,
        max_output_mib=max_output_mib,
        max_checkpoints_mib=max_checkpoints_mib,
        docker_host=docker_host,
        runtime=runtime,
        store_wait_seconds=store_wait_seconds,
        egress_socket=egress_socket,
        environment_images=environment_images,
        max_environment_mib=max_environment_mib,
    )
    changes: dict[str, Any] = {"retry_delays_seconds": retry_delays_seconds}
    bus = stage.server.settings("runner").model_copy(update=changes | ({} if grace_seconds is None else {"grace_seconds": grace_seconds}))
    async with runner(settings, bus, health or HealthSettings()):
        yield


class EngineDoor:
    """A way to the Docker engine that can be shut."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shut = False
        self.knocked = asyncio.Event()
        """Somebody came while it was shut."""
        self._inside: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._pass, self.path)
        return self

    async def __aexit__(self, *_about: object) -> None:
        self._server.close()
        await self.close()

    async def close(self) -> None:
        """Whoever is inside is thrown out, and nobody comes in."""
        self.shut = True
        for task in self._inside:
            task.cancel()
        await asyncio.gather(*self._inside, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.shut:
            self.knocked.set()
            await _ended(writer)
            return
        task = asyncio.create_task(_joined(reader, writer))
        self._inside.add(task)
        task.add_done_callback(self._inside.discard)


async def _joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    engine_reader, engine_writer = await asyncio.open_unix_connection("/var/run/docker.sock")
    try:
        await asyncio.gather(_copied(reader, engine_writer), _copied(engine_reader, writer))
    finally:
        await _ended(writer)
        await _ended(engine_writer)


async def _ended(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


class RunnerProcess:
    """The service as operators run it."""

    def __init__(self, stage: Stage, state_dir: Path, image: str, lease_seconds: int = 2, more: Mapping[str, str] | None = None) -> None:
        settings = stage.server.settings("runner")
        self._environment = {
            "PATH": os.environ["PATH"],
            "NATS_URL": settings.url,
            "NATS_USER": settings.user,
            "NATS_NKEY_FILE": str(settings.nkey_file),
            "NATS_GRACE_SECONDS": "0.5",
            "STATE_DIR": str(state_dir),
            "HEALTH_PORT": "0",
            "RUNNER_DEPLOYMENT": stage.deployment,
            "RUNNER_SLOTS": "2",
            "RUNNER_LEASE_TTL_SECONDS": str(lease_seconds),
            "RUNNER_IMAGES": json.dumps({"shell": image}),
            **(more or {}),
        }
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Returns when it takes work."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.runner", env=self._environment, stderr=asyncio.subprocess.PIPE
        )
        assert self._process.stderr is not None
        seen: list[str] = []
        while line := (await self._process.stderr.readline()).decode():
            seen.append(line)
            if '"runner_ready"' in line:
                self._heard = asyncio.create_task(self._process.stderr.read())
                return
        raise AssertionError("".join(seen))

    async def end(self, number: int) -> int:
        """Sends a signal and waits for the end; the exit code."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
        await self._heard
        return await self._process.wait()
