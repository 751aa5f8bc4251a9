"""Who may read what on the machine: each service's user is asked, by the kernel, for every file of the deployment."""

import os
import pwd
import subprocess
from pathlib import Path

import pytest

from deploy.embedded.users import PREFIX, SERVICES
from tests.servers.stack import Stack

SHARED_BY_TWO = {"run/control": {"runner", "egress"}, "run/sockets": {"runner", "egress"}}
PUBLIC = ("public", "app", "config.json", "status.json")
OF_THE_TESTS = ("test-users",)
"""The signed-in people of the tests; nothing of the deployment."""


def _readable(root: Path, service: str) -> list[str]:
    """What the service's user can read below the state directory."""
    user = pwd.getpwnam(PREFIX + service)
    switched = ["/usr/bin/setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups"]
    find = ["/usr/bin/find", ".", "-mindepth", "1", "-path", "./app", "-prune", "-o", "-readable", "-print"]
    found = subprocess.run([*switched, *find], cwd=root, capture_output=True, text=True, check=False)
    return [line.removeprefix("./") for line in found.stdout.splitlines()]


@pytest.mark.skipif(os.geteuid() != 0, reason="one user is one trust domain")
@pytest.mark.parametrize("service", SERVICES)
def test_a_service_reads_its_own_and_what_is_public(stack: Stack, service: str) -> None:
    shared = [place for place, users in SHARED_BY_TWO.items() if service in users]
    allowed = (f"secrets/{service}", f"data/{service}", service, *PUBLIC, *shared, *OF_THE_TESTS)
    foreign = [path for path in _readable(stack.root, service) if not path.startswith(allowed)]
    assert foreign == []


@pytest.mark.skipif(os.geteuid() != 0, reason="one user is one trust domain")
def test_no_service_can_change_the_code_it_runs(stack: Stack) -> None:
    own = [
        path
        for path in (stack.root / "app").rglob("*")
        if not path.is_symlink() and (path.stat().st_uid != 0 or path.stat().st_mode & 0o022)
    ]
    assert own == []


def test_every_process_is_confined_and_listens_on_loopback_alone(stack: Stack) -> None:
    pids = {line["name"]: line["pid"] for line in stack.status()["processes"] if line["pid"]}
    assert len(pids) >= 9
    for name, pid in pids.items():
        status = Path(f"/proc/{pid}/status").read_text()
        assert "NoNewPrivs:\t1" in status, name
        if os.geteuid() == 0:
            assert "CapEff:\t0000000000000000" in status, name
            assert "\nUid:\t0\t" not in status, name
    listening = subprocess.run(["/usr/bin/ss", "-H", "-l", "-t", "-n", "-p"], capture_output=True, text=True, check=True).stdout
    ours = [line.split()[3] for line in listening.splitlines() if any(f"pid={pid}," in line for pid in pids.values())]
    assert len(ours) >= 8
    assert [address for address in ours if not address.startswith(("127.0.0.1:", "[::1]:"))] == []
