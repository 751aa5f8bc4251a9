"""The process behind `./async-code up`: takes the lock, makes what is missing, clears what an earlier one left, and supervises.

`python -m deploy.embedded.daemon STATE [--progress-fd N]`, started from the copy in the state directory. There is one per state
directory: the lock is the kernel's and goes with the process, however it dies.
"""

import argparse
import asyncio
import contextlib
import fcntl
import json
import os
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from deploy.embedded import capacity, identity, install, prepare, settings, users
from deploy.embedded.identity import Identity
from deploy.embedded.install import App
from deploy.embedded.keeper import Keeper
from deploy.embedded.process import Process
from deploy.embedded.processes import Deployment, table
from deploy.embedded.state import Config, Layout
from deploy.embedded.supervisor import Supervisor

Say = Callable[[dict[str, object]], None]


class AlreadyRunning(RuntimeError):
    """Another supervisor holds this state directory."""


@contextlib.contextmanager
def locked(layout: Layout) -> Generator[None]:
    """Be the one supervisor of this state directory. Raises AlreadyRunning."""
    descriptor = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise AlreadyRunning(layout.root) from error
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, Identity.of(os.getpid()).text().encode())
        yield
    finally:
        os.ftruncate(descriptor, 0)
        os.close(descriptor)


def running(layout: Layout) -> Identity | None:
    """The supervisor of this state directory, if one lives."""
    found = Identity.read(layout.lock)
    return found if found is not None and found.alive() else None


def make_ready(layout: Layout, app: App, say: Say) -> Deployment:
    """Everything before the first process starts; only under the lock."""
    if layout.config.exists():
        left = identity.sweep(Config.load(layout.config).deployment, layout.postgres)
        if left:
            say({"say": f"ended {left} processes that an earlier supervisor had left"})
    install.remove_others(app)
    operator = settings.load(layout.settings)
    http_port = operator.get("HTTP_PORT")
    config = Config.load_or_choose(layout, int(http_port) if http_port else None)
    return prepare.prepare(layout, config, operator, users.ensure(operator.get("DOCKER_HOST", users.DOCKER_HOST)), app)


async def supervise(deployment: Deployment, processes: Sequence[Process], say: Say) -> None:
    """Run the stack until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def changed(keeper: Keeper) -> None:
        about = {"starts": keeper.starts, "exit_code": keeper.exit_code, "reason": keeper.reason}
        say({"process": keeper.process.name, "state": keeper.state, **about})

    layout = deployment.layout
    supervisor = Supervisor(
        processes,
        status=layout.status,
        log=layout.log,
        changed=changed,
        log_bytes=capacity.log_bytes(deployment.settings),
        more_logs=(layout.docker_log,),
    )

    async def announce() -> None:
        await supervisor.until_ready()
        say({"ready": True})

    announcing = asyncio.create_task(announce())
    await supervisor.run(stop)
    announcing.cancel()


def run(root: Path, app: App, say: Say, processes: Callable[[Deployment], Sequence[Process]] = table) -> int:
    """The whole life of the process."""
    os.umask(0o077)
    layout = Layout(root)
    try:
        with locked(layout):
            deployment = make_ready(layout, app, say)
            asyncio.run(supervise(deployment, processes(deployment), say))
    except AlreadyRunning:
        say({"failed": "a supervisor runs already for this state directory"})
        return 1
    return 0


def to_descriptor(descriptor: int | None) -> Say:
    """Progress as JSON lines, for as long as somebody reads them."""

    def say(message: dict[str, object]) -> None:
        line = json.dumps(message) + "\n"
        sys.stderr.write(line)
        if descriptor is not None:
            with contextlib.suppress(OSError):  # `up` has returned, or was interrupted
                os.write(descriptor, line.encode())

    return say


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--progress-fd", type=int)
    arguments = parser.parse_args()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    if arguments.progress_fd is not None:
        fcntl.fcntl(arguments.progress_fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    return run(arguments.root, App(Path(__file__).parents[2], Path(sys.prefix)), to_descriptor(arguments.progress_fd))


if __name__ == "__main__":
    sys.exit(main())
