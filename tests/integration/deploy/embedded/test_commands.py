"""The whole stack by the operator's commands: up, again, status, down. Needs a Docker engine; no image is built."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.embedded.identity import belonging_to, working_below
from deploy.embedded.state import Config, Layout
from tests.integration.deploy.embedded.small_stack import CHECKOUT


class Operator:
    """Somebody at a shell, with a state directory of their own."""

    def __init__(self, directory: Path) -> None:
        self.layout = Layout(directory)

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "ASYNC_CODE_STATE_DIR": str(self.layout.root), "ANTHROPIC_API_KEY": "planted-operator-key"}
        command = [sys.executable, "-m", "cli", *arguments]
        return subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False, timeout=280)

    def status(self) -> tuple[int, dict[str, Any]]:
        done = self.run("status")
        return done.returncode, json.loads(done.stdout)


@pytest.fixture
def operator() -> Iterator[Operator]:
    with tempfile.TemporaryDirectory(prefix="async-code-up-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o755)
        operator = Operator(Path(directory))
        try:
            yield operator
        finally:
            operator.run("down")


def test_up_status_down(operator: Operator) -> None:
    operator.layout.settings.write_text('ASYNC_CODE_STORE_MIB=1000\nASYNC_CODE_STREAMS={"EVT": {"mib": 300}}\n')
    started = operator.run("up", "--no-images")
    assert started.returncode == 0, started.stderr
    config = Config.load(operator.layout.config)
    assert config.url in started.stdout
    assert json.loads(operator.layout.sign_in.read_text())["password"] not in started.stdout + started.stderr

    code, report = operator.status()
    assert (code, report["state"], report["url"]) == (0, "ready", config.url)
    assert all(process["ready"] for process in report["processes"])
    disk = report["disk"]
    parts = {part["name"]: part for part in disk["parts"]}
    assert {"stream CMD", "stream AUDIT_EVT", "schema audit", "write-ahead log", "git mirrors", "logs"} <= parts.keys()
    assert parts["stream EVT"]["limit_bytes"] == 300 * 1024**2
    assert parts["schema audit"]["used_bytes"] > 0
    assert disk["free_bytes"] > 0
    assert not [warning for warning in disk["warnings"] if warning.startswith("not measured")]

    again = operator.run("up", "--no-images")
    assert (again.returncode, config.url in again.stdout) == (0, True)
    assert operator.status()[1]["processes"] == report["processes"]

    for process in (process for process in report["processes"] if process["pid"]):
        for name in ("environ", "cmdline"):
            assert b"planted-operator-key" not in Path(f"/proc/{process['pid']}/{name}").read_bytes()

    gateway = next(process["pid"] for process in report["processes"] if process["name"] == "gateway")
    os.kill(gateway, signal.SIGSTOP)
    code, degraded = operator.status()
    os.kill(gateway, signal.SIGCONT)
    assert (code, degraded["state"]) == (1, "degraded")
    assert [process["name"] for process in degraded["processes"] if not process["ready"]] == ["gateway"]

    assert operator.run("down").returncode == 0
    assert operator.status()[0] == 3
    assert [*belonging_to(config.deployment), *working_below(operator.layout.root, "postgres")] == []


def test_a_misspelt_setting_is_refused_before_anything_starts(operator: Operator) -> None:
    operator.layout.settings.write_text("ASYNC_CODE_SIGNUPS=true\n")
    refused = operator.run("up", "--no-images")
    assert refused.returncode == 1
    assert "ASYNC_CODE_SIGNUPS is not a setting" in refused.stderr
    assert operator.status()[0] == 3


def test_nothing_starts_on_a_full_disk(operator: Operator) -> None:
    operator.layout.settings.write_text("ASYNC_CODE_MIN_FREE_MIB=99999999\n")
    refused = operator.run("up", "--no-images")
    assert refused.returncode == 1
    assert "nothing starts with less than 99,999,999 MiB (ASYNC_CODE_MIN_FREE_MIB)" in refused.stderr
    assert operator.status()[0] == 3
