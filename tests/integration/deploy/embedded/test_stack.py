"""The supervisor over real servers: what it starts, how it survives, and that nothing is left."""

import os
import select
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded.identity import Identity, belonging_to, sweep, working_below
from deploy.embedded.state import Config
from tests.integration.deploy.embedded.small_stack import CHECKOUT, SmallStack


@pytest.fixture(scope="module")
def state() -> Iterator[SmallStack]:
    # Not below pytest's own directory, which is 0700: the services' users must get through.
    with tempfile.TemporaryDirectory(prefix="async-code-stack-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o755)
        stack = SmallStack(Path(directory))
        try:
            yield stack
        finally:
            stack.close()
            sweep(Config.load(stack.layout.config).deployment, stack.layout.root)


@pytest.fixture
def stack(state: SmallStack) -> SmallStack:
    """One that runs: the first test starts it, and whoever comes after one that ended it."""
    if not state.running:
        state.start()
    return state


def left_over(stack: SmallStack) -> list[Identity]:
    deployment = Config.load(stack.layout.config).deployment
    return [*belonging_to(deployment), *working_below(stack.layout.root, "postgres")]


def await_end(identities: list[Identity]) -> None:
    for identity in identities:
        try:
            descriptor = os.pidfd_open(identity.pid)
        except ProcessLookupError:
            continue
        try:
            assert select.select([descriptor], [], [], 20)[0]
        finally:
            os.close(descriptor)


def secrets_of(stack: SmallStack) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (stack.layout.root / "secrets").rglob("*") if path.is_file()}


def test_a_child_that_is_killed_comes_back_without_its_own_children(stack: SmallStack) -> None:
    first = stack.pid("dummy")
    grandchildren = [Identity.of(int(pid)) for pid in Path(f"/proc/{first}/task/{first}/children").read_text().split()]
    assert grandchildren
    os.kill(first, signal.SIGKILL)
    paused = stack.wait_for(lambda message: message.get("process") == "dummy" and message.get("state") == "pausing")
    assert paused["exit_code"] == -signal.SIGKILL
    again = stack.wait_for(lambda message: message.get("process") == "dummy" and message.get("state") == "ready")
    assert again["starts"] == paused["starts"] + 1
    assert not any(identity.alive() for identity in grandchildren)


@pytest.mark.parametrize("server", ["nats", "postgres"])
def test_a_server_that_is_killed_comes_back(stack: SmallStack, server: str) -> None:
    os.kill(stack.pid(server), signal.SIGKILL)
    again = stack.wait_for(lambda message: message.get("process") == server and message.get("state") == "ready")
    assert again["starts"] >= 2


def test_a_killed_supervisor_leaves_no_process_and_the_next_start_ends_what_is_left(stack: SmallStack) -> None:
    children = stack.identities()
    assert len(children) == 4
    stack.end(signal.SIGKILL)
    await_end(children)
    escaped = left_over(stack)
    assert escaped  # the dummy's child: the kernel's promise is for children alone
    stack.start()
    assert not any(identity.alive() for identity in escaped)
    assert {identity.pid for identity in stack.identities()}.isdisjoint({child.pid for child in children})


def test_a_clean_stop_leaves_no_process(stack: SmallStack) -> None:
    children = stack.identities()
    assert stack.end(signal.SIGTERM) == 0
    assert not any(child.alive() for child in children)
    assert left_over(stack) == []
    shut_down = stack.layout.log("postgres").read_text()
    assert "database system is shut down" in shut_down


def test_there_is_one_supervisor_per_state_directory(stack: SmallStack) -> None:
    second = SmallStack(stack.layout.root)
    with pytest.raises(AssertionError, match="ended with 1"):
        second.start()
    second.end(signal.SIGTERM)
    assert all(identity.alive() for identity in stack.identities())


def test_each_secret_is_private_and_its_owners(stack: SmallStack) -> None:
    root = os.geteuid() == 0
    for path in secrets_of(stack):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        owner = path.relative_to(stack.layout.root / "secrets").parts[0]
        assert path.owner() == (("root" if owner == "operator" else f"async-code-{owner}") if root else path.parent.owner())
    for directory in (stack.layout.root / "secrets").iterdir():
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(stack.layout.sign_in.stat().st_mode) == 0o600


def test_no_secret_stands_in_a_process_list_or_an_environment(stack: SmallStack) -> None:
    planted = [content.strip() for content in secrets_of(stack).values() if len(content.strip()) >= 16]
    planted += [b"planted-operator-key", stack.layout.sign_in.read_bytes().split(b'"')[-2]]
    for identity in [*stack.identities(), *left_over(stack)]:
        for name in ("cmdline", "environ"):
            visible = Path(f"/proc/{identity.pid}/{name}").read_bytes()
            assert not any(secret in visible for secret in planted), (identity, name)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: as one user there is one trust domain")
def test_each_process_runs_as_its_own_user_without_new_privileges(stack: SmallStack) -> None:
    for name, user in {"nats": "nats", "postgres": "postgres", "auth": "auth", "dummy": "gateway"}.items():
        assert Path(f"/proc/{stack.pid(name)}").owner() == f"async-code-{user}"
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{stack.pid(name)}/status").read_text().splitlines() if ":\t" in line)
        assert status["NoNewPrivs"] == "1"
        assert int(status["CapEff"], 16) == 0


def test_status_says_that_nothing_runs(tmp_path: Path) -> None:
    environment = {**os.environ, "ASYNC_CODE_STATE_DIR": str(tmp_path)}
    for arguments in (["status"], ["status", "--json"]):
        done = subprocess.run([sys.executable, "-m", "cli", *arguments], cwd=CHECKOUT, env=environment, capture_output=True, check=False)
        assert done.returncode == 3
        assert b'"stopped"' in done.stdout
    done = subprocess.run([sys.executable, "-m", "cli", "down"], cwd=CHECKOUT, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"async-code was not running\n")
