"""How a service's process lives: start, wait for SIGTERM or SIGINT, stop cleanly, and say by its exit code how it went.

    if __name__ == "__main__":
        logging.configure("git")
        service.run(lambda: app(Settings()))

Settings are built inside, so that what is wrong with them is said without their values.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, NoReturn

import structlog
import uvloop
from pydantic import ValidationError

from shared.telemetry import logging

log = structlog.get_logger(__name__)

STOPPED: Final = 0
FAILED: Final = 1
MISCONFIGURED: Final = os.EX_CONFIG
"""Starting again cannot help: a supervisor should not (sysexits.h)."""


class Misconfigured(Exception):
    """A setting is well formed and cannot be granted: what is wrong and what to do, never its value."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(problem)
        self.setting = setting
        self.problem = problem


App = Callable[[], AbstractAsyncContextManager[None]]
"""Everything a service is: entered, it works; left, it has stopped. A task of its own that fails must end it (a TaskGroup inside does)."""


def run(app: App, *, stop_seconds: float = 30) -> NoReturn:
    """Run the service and exit the process: 0 after a signal, 1 after a failure, 78 when its settings are wrong.

    A second signal while it stops ends it at once.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(_live(app, stop_seconds))
    sys.exit(code)


async def _live(app: App, stop_seconds: float) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, stop, number)
    life = asyncio.create_task(_enter(app, stop))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({life, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not life.done():
        await asyncio.wait({life}, timeout=stop_seconds)
    stopping.cancel()
    if not life.done():
        log.error("service_did_not_stop", after_seconds=stop_seconds)
        os._exit(FAILED)
    return _verdict(life, stopped=stop.is_set())


async def _enter(app: App, stop: asyncio.Event) -> None:
    life = asyncio.current_task()
    stopped_early = asyncio.create_task(stop.wait())
    if life is not None:
        stopped_early.add_done_callback(lambda done: None if done.cancelled() else life.cancel())
    async with app():
        stopped_early.cancel()
        logging.adopt()
        log.info("service_started")
        await stop.wait()
        log.info("service_stopping")


def _verdict(life: "asyncio.Task[None]", *, stopped: bool) -> int:
    if life.cancelled():
        log.info("service_stopped", while_starting=True)
        return STOPPED if stopped else FAILED
    match life.exception():
        case None:
            log.info("service_stopped")
            return STOPPED if stopped else FAILED
        case ValidationError() as error:
            faults = [{"setting": ".".join(map(str, fault["loc"])), "problem": fault["msg"]} for fault in error.errors(include_input=False)]
            log.critical("settings_invalid", model=error.title, faults=faults)
            return MISCONFIGURED
        case Misconfigured() as refused:
            log.critical("settings_invalid", model="", faults=[{"setting": refused.setting, "problem": refused.problem}])
            return MISCONFIGURED
        case error:
            log.critical("service_failed", exc_info=error)
            return FAILED


def _on_signal(stop: asyncio.Event, number: signal.Signals) -> None:
    if stop.is_set():
        os._exit(128 + number)
    stop.set()
