"""Whole scheduler processes on real NATS and real Postgres, and a world of people, git and runners on their own NATS users."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from shared.bus.connection import Bus
from shared.bus.delivery import Delivery, Handler
from shared.bus.streams import Durable, Stream
from shared.events.envelope import AnyEnvelope
from shared.events.ids import OwnerId, TaskId
from tests.integration.services.scheduler.replicas import Answers, all_goes_well
from tests.servers.nats import NatsServer
from tests.servers.postgres import PostgresDatabase
from tests.unit.services.scheduler.messages import Script

ROOT = Path(__file__).parents[4]


class SchedulerProcess:
    """`python -m services.scheduler`, started, killed and stopped by its pid."""

    def __init__(self, nats: NatsServer, database: PostgresDatabase, log: Path, settings: dict[str, str]) -> None:
        bus = nats.settings("scheduler")
        self._environment = {
            "PATH": os.environ["PATH"],
            "NATS_URL": bus.url,
            "NATS_USER": bus.user,
            "NATS_NKEY_FILE": str(bus.nkey_file),
            **database.environment("scheduler"),
            **settings,
        }
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._events: set[str] = set()
        self._ended = False
        self._news = asyncio.Condition()

    async def start(self) -> None:
        """Returns when it is at work."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.scheduler", cwd=ROOT, env=self._environment, stderr=asyncio.subprocess.PIPE
        )
        assert self._process.stderr is not None
        self._reading = asyncio.create_task(self._read(self._process.stderr))
        await self.says("service_started")

    async def says(self, event: str) -> None:
        """Wait until this process has logged the event."""
        async with asyncio.timeout(60), self._news:
            await self._news.wait_for(lambda: event in self._events or self._ended)
        assert event in self._events, self._log.read_text()

    async def kill(self) -> None:
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        return await self._end(signal.SIGTERM)

    async def _read(self, stderr: asyncio.StreamReader) -> None:
        with self._log.open("ab", buffering=0) as log:
            while line := await stderr.readline():
                log.write(line)
                async with self._news:
                    self._events.add(json.loads(line).get("event", "") if line.startswith(b"{") else "")
                    self._news.notify_all()
        async with self._news:
            self._ended = True
            self._news.notify_all()

    async def _end(self, number: signal.Signals) -> int:
        process, reading = self._process, self._reading
        if process is None or reading is None:
            return 0
        self._process = None
        if process.returncode is None:
            process.send_signal(number)
        await reading
        return await process.wait()


@dataclass
class Outside:
    """What the others see and say."""

    gateway: Bus
    answers: Answers = all_goes_well
    facts: list[AnyEnvelope] = field(default_factory=list[AnyEnvelope])
    commands: Counter[str] = field(default_factory=Counter[str])
    """How often git and runners were handed a command, by id: a redelivery counts."""
    command_types: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    _heard: set[str] = field(default_factory=set[str])
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def submit(self, *scripts: Script) -> None:
        for script in scripts:
            await self.gateway.publish(script.submit())

    async def hear(self, envelope: AnyEnvelope, _delivery: Delivery) -> None:
        """As the gateway's durable delivers it."""
        async with self._news:
            if envelope.id not in self._heard:
                self._heard.add(envelope.id)
                self.facts.append(envelope)
            self._news.notify_all()

    def answering(self, bus: Bus) -> Handler:
        async def answer(command: AnyEnvelope, _delivery: Delivery) -> None:
            async with self._news:
                if not self.commands[command.id]:
                    self.command_types.setdefault(command.task, []).append(command.type)
                self.commands[command.id] += 1
                self._news.notify_all()
            for fact in self.answers(Script(OwnerId(command.owner), TaskId(command.task)), command):
                await bus.publish(fact)

        return answer

    async def until(self, said: Callable[[], bool], seconds: float = 120) -> None:
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(said)

    def told(self, script: Script) -> list[str]:
        """The states a task went through."""
        return [fact.type for fact in self.facts if fact.task == script.task and fact.type.startswith("task.")]


@asynccontextmanager
async def outside(nats: NatsServer) -> AsyncGenerator[Outside]:
    """People and the read model, git, a runner."""
    async with AsyncExitStack() as stack:
        buses = [await Bus.connect(nats.settings(user)) for user in ("gateway", "git", "runner")]
        for bus in buses:
            stack.push_async_callback(bus.stop)
        gateway, git, runner = buses
        here = Outside(gateway)
        gateway.consume(Stream.EVT, Durable.GATEWAY, here.hear, slots=4)
        git.consume(Stream.CMD, Durable.GIT, here.answering(git), slots=4)
        runner.consume(Stream.CMD, Durable.RUNNER, here.answering(runner), slots=4)
        for bus in buses:
            await bus.start()
        yield here


@dataclass
class Schedulers:
    """Starts scheduler processes, and leaves none behind."""

    nats: NatsServer
    database: PostgresDatabase
    directory: Path
    settings: dict[str, str] = field(default_factory=dict[str, str])
    _started: list[SchedulerProcess] = field(default_factory=list[SchedulerProcess])

    async def start(self, **settings: str) -> SchedulerProcess:
        process = SchedulerProcess(
            self.nats, self.database, self.directory / f"scheduler-{len(self._started)}.log", {**self.settings, **settings}
        )
        self._started.append(process)
        await process.start()
        return process

    async def end(self) -> None:
        for process in self._started:
            await process.kill()
