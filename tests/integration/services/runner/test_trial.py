"""What a runner finds out about its engine before it takes work, and what it does where a wall is missing."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from services.runner import container, trial
from services.runner.agents.registry import AGENTS
from services.runner.docker_engine import DockerEngine
from services.runner.docker_factory import DockerSandboxes
from services.runner.protections import REQUIRED
from services.runner.settings import RunnerSettings
from shared.bus.streams import Stream
from shared.events import catalogue
from shared.events.facts import EngineTried
from shared.events.values import Protection
from shared.telemetry.health import HealthSettings
from shared.telemetry.service import MISCONFIGURED, Misconfigured
from tests.integration.services.runner.inside import MakeSpec
from tests.integration.services.runner.stage import Stage, in_process

ROOT = Path(__file__).parents[4]


def settings(tmp_path: Path, image: str, **more: Any) -> RunnerSettings:
    return RunnerSettings(state_dir=tmp_path, images={"shell": image}, **more)


async def test_every_required_wall_is_there(engine: DockerEngine, sandboxes: DockerSandboxes, shell_image: str, tmp_path: Path) -> None:
    walls = await trial.walls(engine, sandboxes, settings(tmp_path, shell_image))
    assert walls.missing == frozenset()
    assert walls.there >= REQUIRED
    assert not await sandboxes.leftovers()


def test_a_container_without_our_walls_does_not_pass(shell_image: str, make_spec: MakeSpec) -> None:
    """The same program under Docker's defaults: nothing of what it must see is there, so it sees something."""
    disks = container.disks(make_spec())
    command = ["docker", "run", "--rm", "--entrypoint", "python3", shell_image, "-c", trial.program(disks)]
    told = json.loads(subprocess.run(["/usr/bin/env", *command], capture_output=True, check=True, timeout=60).stdout)
    assert trial.judged(told, disks, "").protections <= {Protection.APPARMOR}


async def test_a_named_profile_that_does_not_confine_is_refused(
    engine: DockerEngine, sandboxes: DockerSandboxes, shell_image: str, tmp_path: Path
) -> None:
    with pytest.raises(Misconfigured, match=r"apparmor: .* name what they may go without: apparmor"):
        await trial.walls(engine, sandboxes, settings(tmp_path, shell_image, apparmor_profile="no-such-profile"))


async def test_the_operator_may_go_without(engine: DockerEngine, sandboxes: DockerSandboxes, shell_image: str, tmp_path: Path) -> None:
    given = settings(tmp_path, shell_image, apparmor_profile="no-such-profile", allow_missing="apparmor, swap_limit")
    assert (await trial.walls(engine, sandboxes, given)).missing == {Protection.APPARMOR}


async def test_a_runtime_that_the_engine_does_not_know_is_refused(
    engine: DockerEngine, sandboxes: DockerSandboxes, shell_image: str, tmp_path: Path
) -> None:
    with pytest.raises(Misconfigured, match=r"knows no such runtime, only .*runc"):
        await trial.walls(engine, sandboxes, settings(tmp_path, shell_image, runtime="no-such-runtime"))


async def test_without_an_image_nothing_is_said_to_be_there(engine: DockerEngine, sandboxes: DockerSandboxes, tmp_path: Path) -> None:
    none = dict.fromkeys(AGENTS, "async-code/none:current")
    walls = await trial.walls(engine, sandboxes, RunnerSettings(state_dir=tmp_path, images=none))
    assert walls.seen is None
    assert Protection.SECCOMP not in walls.there


async def test_a_runner_says_what_it_found(stage: Stage, tmp_path: Path, shell_image: str, unused_tcp_port: int) -> None:
    health = HealthSettings(port=unused_tcp_port)
    async with in_process(stage, tmp_path / "runner", shell_image, health=health):
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{unused_tcp_port}/readyz") as answer:
            about = (await answer.json())["about"]
        stored = await stage.gateway.read(Stream.EVT, "evt.engine.tried.-.-", after=0)
    fact = catalogue.parse(stored[-1].data, stored[-1].subject).data
    assert isinstance(fact, EngineTried)
    assert set(fact.protections) >= REQUIRED
    assert (about["protections"], about["missing"]) == (list(fact.protections), [])


def test_the_process_ends_with_78_and_says_what_to_do(tmp_path: Path, shell_image: str) -> None:
    environment = os.environ | {
        "STATE_DIR": str(tmp_path),
        "RUNNER_IMAGES": json.dumps({"shell": shell_image}),
        "RUNNER_APPARMOR_PROFILE": "no-such-profile",
        "NATS_URL": "nats://127.0.0.1:1",
        "NATS_NKEY_FILE": str(tmp_path / "none"),
        "NATS_USER": "runner",
    }
    ran = subprocess.run(
        [sys.executable, "-m", "services.runner"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == MISCONFIGURED
    (fault,) = json.loads(ran.stderr.splitlines()[-1])["faults"]
    assert fault["setting"] == "RUNNER_ALLOW_MISSING"
    assert "apparmor" in fault["problem"]
