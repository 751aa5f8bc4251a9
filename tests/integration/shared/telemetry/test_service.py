"""How a process starts, stops and says how it went."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[4]

PROGRAM = """
import asyncio, contextlib, os, sys
import structlog
from pydantic_settings import BaseSettings
from shared.telemetry import logging, service
logging.configure("test")
log = structlog.get_logger()

class Settings(BaseSettings):
    must_be_a_number: int

@contextlib.asynccontextmanager
async def app():
    {body}

service.run(app, stop_seconds=float(os.environ.get('STOP_SECONDS', '0.3')))
"""


class Process:
    def __init__(self, body: str) -> None:
        environment = {**os.environ, "MUST_BE_A_NUMBER": "hunter2"}
        source = PROGRAM.replace("{body}", body.replace("\n", "\n    "))
        self.process = subprocess.Popen([sys.executable, "-c", source], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        self.lines: list[dict[str, Any]] = []

    def until(self, event: str) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(json.loads(line))
            if self.lines[-1]["event"] == event:
                return
        raise AssertionError(f"{event} never came: {self.lines}")

    def end(self) -> int:
        _, rest = self.process.communicate(timeout=30)
        self.lines += [json.loads(line) for line in rest.splitlines()]
        return self.process.returncode

    @property
    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]


@pytest.fixture
def start() -> Iterator[Callable[[str], Process]]:
    started: list[Process] = []

    def new(body: str) -> Process:
        started.append(Process(body))
        return started[-1]

    yield new
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(start: Callable[[str], Process], number: int) -> None:
    service = start("log.info('up')\nyield\nlog.info('down')")
    service.until("service_started")
    service.process.send_signal(number)
    assert service.end() == 0
    assert service.events == ["up", "service_started", "service_stopping", "down", "service_stopped"]


def test_a_signal_while_it_starts_stops_it_too(start: Callable[[str], Process]) -> None:
    service = start("log.info('waiting')\nawait asyncio.Event().wait()\nyield")
    service.until("waiting")
    service.process.terminate()
    assert service.end() == 0


def test_a_failure_while_it_starts_is_said(start: Callable[[str], Process]) -> None:
    service = start("raise RuntimeError('no such thing')\nyield")
    assert service.end() == 1
    assert service.events == ["service_failed"]
    assert "no such thing" in service.lines[0]["exception"]


def test_a_task_that_fails_ends_the_service(start: Callable[[str], Process]) -> None:
    service = start(
        "async def work():\n    log.info('working')\n    raise RuntimeError('broken')\n"
        "async with asyncio.TaskGroup() as group:\n    group.create_task(work())\n    yield"
    )
    assert service.end() == 1
    assert service.events[-1] == "service_failed"


def test_wrong_settings_are_said_without_their_values(start: Callable[[str], Process]) -> None:
    service = start("Settings()\nyield")
    assert service.end() == 78
    assert service.lines[0]["faults"][0]["setting"] == "must_be_a_number"
    assert "hunter2" not in json.dumps(service.lines)


def test_a_setting_that_cannot_be_granted_is_as_wrong(start: Callable[[str], Process]) -> None:
    service = start("raise service.Misconfigured('RUNTIME', 'there is none of that name')\nyield")
    assert service.end() == 78
    assert service.lines[0]["faults"] == [{"setting": "RUNTIME", "problem": "there is none of that name"}]


def test_one_that_does_not_stop_is_ended(start: Callable[[str], Process]) -> None:
    service = start("yield\nawait asyncio.Event().wait()")
    service.until("service_started")
    service.process.terminate()
    assert service.end() == 1
    assert service.events[-1] == "service_did_not_stop"


def test_a_second_signal_ends_it_at_once(start: Callable[[str], Process], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOP_SECONDS", "30")
    service = start("yield\nlog.info('slow')\nawait asyncio.Event().wait()")
    service.until("service_started")
    service.process.terminate()
    service.until("slow")
    service.process.terminate()
    assert service.end() == 128 + signal.SIGTERM
