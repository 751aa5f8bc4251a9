"""The supervisor over small dummies: order, pauses, stops."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from deploy.embedded.keeper import Keeper, State
from deploy.embedded.process import Finished, Process, Ready, TcpReady
from deploy.embedded.supervisor import Supervisor
from deploy.embedded.users import User

ME = User("me", os.geteuid(), os.getegid())
_SERVER = "import socket, sys; s = socket.create_server(('127.0.0.1', int(sys.argv[1])))\nwhile True: s.accept()[0].close()"
_STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{_SERVER}"
# It fails until the file is there.
_STEP = "import pathlib, sys; p = pathlib.Path(sys.argv[1]); there = p.exists(); p.touch(); sys.exit(0 if there else 7)"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def process(name: str, script: str, argument: object, ready: Ready, **more: Any) -> Process:
    argv = (sys.executable, "-c", script, str(argument))
    return Process(name=name, argv=argv, env={"PATH": "/usr/bin:/bin"}, user=ME, cwd=Path("/"), ready=ready, **more)


def server(name: str, script: str = _SERVER, **more: Any) -> Process:
    port = free_port()
    return process(name, script, port, TcpReady(port), **more)


class History:
    """Every change of state, in order, and a way to wait for one."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, State]] = []
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def note(self, keeper: Keeper) -> None:
        self.changes.append((keeper.process.name, keeper.state))
        task = asyncio.create_task(self._wake())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(condition)

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@asynccontextmanager
async def supervised(tmp_path: Path, history: History, *processes: Process) -> AsyncGenerator[Supervisor]:
    stop = asyncio.Event()
    supervisor = Supervisor(processes, status=tmp_path / "status.json", log=lambda name: tmp_path / f"{name}.log", changed=history.note)
    running = asyncio.create_task(supervisor.run(stop))
    try:
        yield supervisor
    finally:
        stop.set()
        await running


async def test_each_starts_when_what_it_needs_is_ready_and_stops_before_it(tmp_path: Path) -> None:
    history = History()
    async with supervised(tmp_path, history, server("a"), server("b", after=("a",)), server("c", after=("b",))) as supervisor:
        await supervisor.until_ready()
    order = [change for change in history.changes if change[1] in {State.READY, State.STOPPED}]
    assert order == [
        *((name, State.READY) for name in "abc"),
        *((name, State.STOPPED) for name in "cba"),
    ]


async def test_a_step_is_tried_again_until_it_succeeds_and_then_never(tmp_path: Path) -> None:
    history = History()
    step = process("step", _STEP, tmp_path / "there", Finished())
    async with supervised(tmp_path, history, step, server("after", after=("step",))) as supervisor:
        await supervisor.until_ready()
        assert (supervisor.keepers["step"].starts, supervisor.keepers["step"].state) == (2, State.DONE)
    assert ("step", State.PAUSING) in history.changes


async def test_a_process_that_keeps_failing_is_tried_again_with_pauses(tmp_path: Path) -> None:
    history = History()
    failing = process("failing", "import sys; sys.exit(3)", "", TcpReady(free_port()))
    began = asyncio.get_running_loop().time()
    async with supervised(tmp_path, history, failing, server("waiting", after=("failing",))) as supervisor:
        await history.until(lambda: history.changes.count(("failing", State.PAUSING)) == 3)
        assert asyncio.get_running_loop().time() - began > 0.25 + 0.5
        assert supervisor.keepers["waiting"].state is State.WAITING
        assert supervisor.keepers["failing"].exit_code == 3


_REFUSES = """
import json, os, sys
faults = [{"setting": "slots", "problem": "Input should be greater than 0"}]
print(json.dumps({"event": "settings_invalid", "faults": faults}), file=sys.stderr)
sys.exit(os.EX_CONFIG)
"""


async def test_what_refuses_its_settings_stays_down_and_says_why(tmp_path: Path) -> None:
    history = History()
    async with supervised(tmp_path, history, process("refusing", _REFUSES, "", TcpReady(free_port())), server("other")) as supervisor:
        await history.until(lambda: {("other", State.READY), ("refusing", State.MISCONFIGURED)} <= set(history.changes))
        assert supervisor.keepers["refusing"].starts == 1
        (line, _other) = json.loads((tmp_path / "status.json").read_text())["processes"]
        assert (line["state"], line["exit_code"]) == ("misconfigured", os.EX_CONFIG)
        assert line["reason"] == "slots: Input should be greater than 0"
    assert supervisor.keepers["refusing"].state is State.STOPPED


async def test_what_has_run_with_its_settings_is_started_again_whatever_it_ends_with(tmp_path: Path) -> None:
    history = History()
    turning = _SERVER.replace("while True: s.accept()[0].close()", "s.accept()[0].close(); sys.exit(78)")
    async with supervised(tmp_path, history, server("turning", turning)) as supervisor:
        await history.until(lambda: history.changes.count(("turning", State.STARTING)) == 2)
        assert ("turning", State.MISCONFIGURED) not in history.changes
        assert supervisor.keepers["turning"].reason is None


async def test_what_does_not_stop_is_killed_after_its_grace(tmp_path: Path) -> None:
    async with supervised(tmp_path, History(), server("stubborn", _STUBBORN, grace_seconds=0.2)) as supervisor:
        await supervisor.until_ready()
    assert supervisor.keepers["stubborn"].exit_code == -9


async def test_what_cannot_be_started_does_not_end_the_supervisor(tmp_path: Path) -> None:
    history = History()
    missing = Process(name="missing", argv=("/nonexistent",), env={}, user=ME, cwd=Path("/"), ready=TcpReady(free_port()))
    async with supervised(tmp_path, history, missing, server("other")) as supervisor:
        await history.until(lambda: ("other", State.READY) in history.changes and ("missing", State.PAUSING) in history.changes)
        assert supervisor.keepers["missing"].exit_code not in {0, None}
