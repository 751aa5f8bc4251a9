"""The Docker engine: found where it answers, never started twice, and stopped only where it is ours. Needs an engine that runs."""

import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from deploy.embedded import containers, docker_engine
from deploy.embedded.identity import Identity
from deploy.embedded.state import Layout


def docker(*arguments: str, stdin: bytes = b"") -> str:
    return subprocess.run(["docker", *arguments], input=stdin, capture_output=True, check=True, timeout=60).stdout.decode().strip()  # noqa: S607


def test_an_engine_that_answers_is_left_alone(tmp_path: Path) -> None:
    docker_engine.ensure(Layout(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert not docker_engine.stop_ours(Layout(tmp_path))
    assert docker_engine.answers()


def test_nothing_answers_where_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    assert not docker_engine.answers()


def test_only_the_process_that_was_started_is_stopped(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.docker.mkdir()
    process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    started = Identity.of(process.pid)
    try:
        (layout.docker / "dockerd.pid").write_text(Identity(started.pid, started.started + 1).text())
        assert not docker_engine.stop_ours(layout)
        assert started.alive()
        (layout.docker / "dockerd.pid").write_text(started.text())
        assert docker_engine.stop_ours(layout)
    finally:
        process.kill()
        process.wait(10)
    assert not (layout.docker / "dockerd.pid").exists()


def test_containers_and_volumes_of_the_deployment_go_and_others_stay() -> None:
    mine, other = str(uuid.uuid4()), str(uuid.uuid4())
    image = f"async-code-test-{mine}"
    # An image with one file is enough to create a container that is never started.
    tar = subprocess.run(["tar", "-c", "-C", "/etc", "hostname"], capture_output=True, check=True, timeout=30).stdout  # noqa: S607
    docker("import", "-", image, stdin=tar)
    try:
        for deployment in (mine, other):
            label = f"{containers.LABEL}={deployment}"
            docker("create", "--label", label, "--name", f"test-{deployment}", image, "/none")
            docker("volume", "create", "--label", label, f"test-{deployment}")
        containers.remove(mine)
        names = docker("ps", "--all", "--format", "{{.Names}}").split() + docker("volume", "ls", "--quiet").split()
        assert f"test-{mine}" not in names
        assert names.count(f"test-{other}") == 2
    finally:
        containers.remove(other)
        docker("rmi", "--force", image)
