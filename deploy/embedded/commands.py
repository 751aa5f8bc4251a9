"""`up`, `down`, `status`: what the operator's commands do, on this machine. Each returns its exit code.

The stack itself never runs in here: `up` starts the daemon from the installed copy and listens until it is ready.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from deploy.embedded import (
    capacity,
    containers,
    daemon,
    docker_engine,
    identity,
    install,
    keeper,
    logs,
    measuring,
    provision,
    registries,
    settings,
    users,
)
from deploy.embedded.disk import Disk, mib, shortage
from deploy.embedded.install import App
from deploy.embedded.progress import Outcome, follow
from deploy.embedded.report import OK, STOPPED_CODE, Report, look, print_report
from deploy.embedded.state import Config, Layout, default_root, write_atomically
from deploy.images import recipe
from deploy.images.build import ensure_images
from deploy.images.errors import ImageBuildError
from deploy.images.settings import ImageSettings

CHECKOUT = Path(__file__).parents[2]
READY_SECONDS = 180.0
STOP_SECONDS = 120.0
_FAILED = 1

_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


class NoRoom(RuntimeError):
    """The disk is too full to start on; the text says how full."""


def layout_here() -> Layout:
    """The state directory that this user and environment mean."""
    return Layout(default_root(os.environ, root=os.geteuid() == 0, checkout=CHECKOUT))


def up(*, foreground: bool = False, images: bool = True) -> int:
    """Start the stack and wait until it is ready; only wait where it runs already."""
    layout = layout_here()
    try:
        code = _wait_for_running(layout) if daemon.running(layout) else _start(layout, foreground=foreground, images=images)
    except (NoRoom, settings.BadSetting, docker_engine.NoEngine, users.UsersFailed, ImageBuildError) as error:
        print(f"async-code: {error}", file=sys.stderr)
        return _FAILED
    if code == OK and not foreground:
        _welcome(layout)
    return code


def down() -> int:
    """Stop the supervisor and everything else that belongs to this deployment; whatever happened before, nothing of it runs afterwards."""
    layout = layout_here()
    supervisor = daemon.running(layout)
    stopped = supervisor is None or supervisor.end(STOP_SECONDS)
    if layout.config.exists():
        deployment = Config.load(layout.config).deployment
        identity.sweep(deployment, layout.postgres)
        containers.remove(deployment, settings.load(layout.settings).get("DOCKER_HOST"))
    if docker_engine.stop_ours(layout):
        print("stopped the Docker engine that was started for the stack", file=sys.stderr)
    print("async-code is down" if supervisor else "async-code was not running", file=sys.stderr)
    return OK if stopped else _FAILED


def status(*, as_json: bool = False) -> int:
    """Show what runs; 0 ready, 1 degraded, 3 not running."""
    report = report_here()
    print_report(report, None if report.url is None else disk_here(), as_json=as_json or not sys.stdout.isatty())
    return report.exit_code


def disk_here() -> Disk:
    """What of the disk is taken by what."""
    return asyncio.run(measuring.measure(provision.current(layout_here().root)))


def report_here() -> Report:
    """What `status` shows, as values."""
    layout = layout_here()
    if daemon.running(layout) is None:
        return Report("stopped", None, (), STOPPED_CODE)
    try:
        return asyncio.run(look(provision.current(layout.root)))
    except FileNotFoundError:  # it has only just begun, and nothing is decided yet
        return Report("starting", None, (), _FAILED)


def _start(layout: Layout, *, foreground: bool, images: bool) -> int:
    layout.root.mkdir(parents=True, exist_ok=True)
    given = settings.remember(layout.settings)
    _look_for_room(layout, given)
    docker_engine.ensure(layout, given.get("DOCKER_HOST"))
    wanted = ensure_images(lambda text: print(f"  {text}", file=sys.stderr)) if images else recipe.tags(ImageSettings()).agents
    write_atomically(layout.images, json.dumps(wanted).encode())
    if not layout.registries.exists():
        write_atomically(layout.registries, json.dumps(registries.find(given)).encode())
    started = time.monotonic()
    app = install.install(CHECKOUT, Path(sys.prefix), layout.app)
    if foreground:
        return _foreground(layout, app)
    outcome = _daemonise(layout, app)
    if outcome is Outcome.READY:
        print(f"ready after {time.monotonic() - started:.1f} s", file=sys.stderr)
        return OK
    print(f"async-code: the stack is not ready ({outcome}); logs: {layout.log('supervisor').parent}", file=sys.stderr)
    print(logs.tail(layout.log("supervisor")), file=sys.stderr)
    return _FAILED


def _look_for_room(layout: Layout, given: Mapping[str, str]) -> None:
    """Raises NoRoom where the servers could not even begin; says so where there is less than the parts may come to take."""
    disk, least = measuring.before_start(layout, given), capacity.min_free_bytes(given)
    if disk.free_bytes < least:
        low = f"{mib(disk.free_bytes)} are free below {layout.root}, and nothing starts with less than {mib(least)}"
        raise NoRoom(f"{low} (ASYNC_CODE_MIN_FREE_MIB)")
    for warning in shortage(disk.free_bytes, disk.parts):
        print(f"async-code: {warning}", file=sys.stderr)


def _foreground(layout: Layout, app: App) -> int:
    """Become the daemon: signals and the terminal's Ctrl-C reach it directly."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os.chdir(app.code)
    os.execve(app.python, [app.python, "-m", "deploy.embedded.daemon", str(layout.root)], _ENVIRONMENT)  # noqa: S606 - no shell is what is wanted


def _daemonise(layout: Layout, app: App) -> Outcome:
    log = layout.log("supervisor")
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    reading, writing = os.pipe()
    with keeper.open_log(log) as output:
        command = [app.python, "-m", "deploy.embedded.daemon", str(layout.root), "--progress-fd", str(writing)]
        subprocess.Popen(
            command,
            cwd=app.code,
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[writing],
            start_new_session=True,
        )
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as progress:
        return follow(progress.fileno(), READY_SECONDS)


def _wait_for_running(layout: Layout) -> int:
    deadline = time.monotonic() + READY_SECONDS
    while daemon.running(layout) and time.monotonic() < deadline:
        report = report_here()
        if report.exit_code == OK:
            return OK
        if reasons := [f"{line.name} stays down: {line.reason}" for line in report.processes if line.reason is not None]:
            print("\n".join(reasons), file=sys.stderr)
            return _FAILED
        time.sleep(0.2)
    return _FAILED


def _welcome(layout: Layout) -> None:
    first = json.loads(layout.sign_in.read_text())
    print(f"Async Code runs at {Config.load(layout.config).url}")
    print(f"Sign in as {first['email']} with the password in {layout.sign_in}")
    if users.one_trust_domain(users.ensure()):
        print("All services run as one user: they are one trust domain. Started by root, each gets a user of its own.")
