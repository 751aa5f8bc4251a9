"""Starting an engine where none answers. Engine and client are small programs, first in PATH: never a second dockerd here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.embedded import docker_engine
from deploy.embedded.identity import Identity
from deploy.embedded.state import Layout

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root starts an engine"),
    pytest.mark.skipif(Path("/run/systemd/system").is_dir(), reason="systemd starts it here"),
]
CHECKOUT = Path(__file__).parents[4]
CLIENT = "#!/bin/sh\ntest -e {answers}\n"
ENGINE = "#!/bin/sh\nenv > {environment}\ntouch {answers}\nexec sleep 1000\n"
BROKEN_ENGINE = "#!/bin/sh\necho 'no cgroups here'\nexit 1\n"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "state")


def program(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "bin").mkdir(exist_ok=True)
    (tmp_path / "bin" / name).write_text(text.format(answers=tmp_path / "answers", environment=tmp_path / "environment"))
    (tmp_path / "bin" / name).chmod(0o755)


def run(tmp_path: Path, layout: Layout) -> "subprocess.CompletedProcess[str]":
    environment = {
        "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
        "ASYNC_CODE_STATE_DIR": str(layout.root),
        "HTTPS_PROXY": "http://proxy.example:3128",
        "ANTHROPIC_API_KEY": "planted-operator-key",
    }
    command = [sys.executable, "-m", "deploy.embedded.docker_engine"]
    return subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False, timeout=90)


def test_one_is_started_once_without_the_operators_keys_and_stopped_by_us(tmp_path: Path, layout: Layout) -> None:
    program(tmp_path, "docker", CLIENT)
    program(tmp_path, "dockerd", ENGINE)
    assert run(tmp_path, layout).returncode == 0
    engine = Identity.read(layout.docker / "dockerd.pid")
    assert engine is not None
    assert engine.alive()
    assert run(tmp_path, layout).stderr == ""
    assert Identity.read(layout.docker / "dockerd.pid") == engine
    assert "HTTPS_PROXY=http://proxy.example:3128" in (tmp_path / "environment").read_text()
    assert "planted" not in (tmp_path / "environment").read_text()
    assert docker_engine.stop_ours(layout)
    assert not engine.alive()


def test_one_that_ends_at_once_is_reported_at_once(tmp_path: Path, layout: Layout) -> None:
    program(tmp_path, "docker", CLIENT)
    program(tmp_path, "dockerd", BROKEN_ENGINE)
    done = run(tmp_path, layout)
    assert done.returncode == 1
    assert f"dockerd ended with 1; see {layout.docker / 'dockerd.log'}" in done.stderr
    assert "no cgroups here" in (layout.docker / "dockerd.log").read_text()
    assert not docker_engine.stop_ours(layout)
