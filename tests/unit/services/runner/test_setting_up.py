"""The phase before the agent on sandboxes in memory: what decides the key, what the script may reach, how much of its words is kept."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from services.runner.doors import Door, DoorRequest, NullEgress, Refused, Spending
from services.runner.environment_store import EnvironmentStore
from services.runner.errors import DirectoryMissing, ImageMissing, ImageNotAllowed, ImageUnfit, SetupFailed
from services.runner.project_image import check
from services.runner.recorder import Recorder
from services.runner.sandbox import SandboxSpec
from services.runner.setting_up import MAX_LOG_BYTES, Prepared, SettingUp, Setup
from services.runner.surroundings import Wanted
from shared.events import ids
from shared.events.environments import Environment
from shared.events.ids import OwnerId, RunId, TaskId
from shared.events.output import OutputLine
from shared.events.values import Ecosystem, Limits
from tests.unit.services.runner.fake_sandbox import FakeSandbox, FakeSandboxes

BASE = "0123456789" * 4
IMAGE = "async-code/shell:current"
SCRIPT = "echo words\necho made > lib/file"


class Doors(NullEgress):
    """Notes who wanted what."""

    def __init__(self) -> None:
        self.requests: list[DoorRequest] = []
        self.closed: list[RunId] = []

    async def open(self, request: DoorRequest) -> Door:
        self.requests.append(request)
        return Door(Path("/run/egress"), "model.sock", SecretStr("worthless"))

    async def close(self, run_id: RunId, fence: int) -> Spending:
        assert fence == 1
        self.closed.append(run_id)
        return Spending(refusals=(Refused("method_denied", "0" * 64, Ecosystem.PIP),))


class Heard:
    def __init__(self) -> None:
        self.told: list[object] = []

    async def started(self) -> None:
        self.told.append("started")

    async def prepared(self, prepared: Prepared) -> None:
        self.told.append(prepared)

    async def refused(self, refusals: tuple[Refused, ...]) -> None:
        self.told.append(refusals)


class Stage:
    def __init__(self, room: Path) -> None:
        self.room = room
        self.said: list[OutputLine] = []
        self.doors, self.heard = Doors(), Heard()
        self.sandboxes = FakeSandboxes(IMAGE, BASE)
        self.store = EnvironmentStore(room / "environments", 1_000_000)
        self.store.open()
        (room / "workspace.tar").touch()
        ids_ = (RunId(ids.fresh()), 1, OwnerId(ids.fresh()), TaskId(ids.fresh()))
        self.spec = SandboxSpec(*ids_, image=IMAGE, limits=Limits(), workspace_bytes=1, max_result_bytes=1_000)

    async def prepare(self, script: str = SCRIPT, packages: tuple[Ecosystem, ...] = (), lock_files: tuple[str, ...] = ()) -> list[str]:
        """What lies in the agent's sandbox then."""
        environment = Environment(setup_script=script, directories=("/workspace/lib",), lock_files=lock_files)
        setup = Setup(Wanted("d" * 64, environment, packages), self.room / "workspace.tar", BASE, self.room, 1_000)

        async def publish(payload: bytes, message_id: str) -> int:
            del message_id
            self.said.append(OutputLine.model_validate_json(payload))
            return 1

        self.spec = replace(self.spec, run_id=RunId(ids.fresh()))
        sandbox = await self.sandboxes.create(self.spec)
        await sandbox.load(setup.workspace, BASE)
        try:
            async with Recorder(self.spec.run_id, 1, self.room / "transcript", publish, 10_000_000) as recorder:
                await SettingUp(self.store, self.sandboxes, self.doors, recorder, self.heard).prepare(sandbox, self.spec, setup)
        finally:
            left = list(self.sandboxes.alive)
            await sandbox.kill()
        assert left == [f"async-code-{self.spec.run_id}-1"], "the set-up's own is gone"
        assert isinstance(sandbox, FakeSandbox)
        return sorted(sandbox.files)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


async def test_it_is_made_by_the_first_run_and_found_by_the_next(stage: Stage) -> None:
    for _ in range(2):
        assert await stage.prepare() == ["lib/file", "readme.md"]
    first, second = [told for told in stage.heard.told if isinstance(told, Prepared)]
    assert (first.cached, second.cached, first.key) == (False, True, second.key)
    assert stage.heard.told.count("started") == 1
    assert [line.event.text for line in stage.said if line.event.name == "setup"] == ["words"]
    assert not stage.doors.requests, "nothing leads out where no packages are allowed"


async def test_its_door_leads_to_packages_and_to_no_model(stage: Stage) -> None:
    await stage.prepare(packages=(Ecosystem.PIP,))
    (request,) = stage.doors.requests
    assert (request.vendor, request.credential, request.packages) == (None, None, (Ecosystem.PIP,))
    assert request.run_id != stage.spec.run_id, "the run's own door is another one"
    assert stage.doors.closed == [request.run_id]
    assert (Refused("method_denied", "0" * 64, Ecosystem.PIP),) in stage.heard.told


async def test_what_fails_is_not_kept(stage: Stage) -> None:
    for script, failure in (("exit 3", SetupFailed), ("echo x > other", DirectoryMissing)):
        with pytest.raises(failure):
            await stage.prepare(script)
        assert not list((stage.room / "environments").iterdir())
    assert not [told for told in stage.heard.told if isinstance(told, Prepared)]


async def test_words_are_kept_up_to_a_bound_of_their_own(stage: Stage) -> None:
    await stage.prepare(f"flood {MAX_LOG_BYTES // 60_000 + 4}\n{SCRIPT}")
    kept = sum(len(line.event.text) for line in stage.said if line.event.name == "setup")
    assert MAX_LOG_BYTES * 0.9 < kept <= MAX_LOG_BYTES
    assert any("more than is kept" in line.event.text for line in stage.said)


def test_everything_that_decides_the_result_decides_the_key() -> None:
    environment = Environment(setup_script=SCRIPT, directories=("/workspace/lib",))
    wanted = Wanted("d" * 64, environment, (Ecosystem.PIP, Ecosystem.NPM))
    owner = OwnerId(ids.fresh())
    key = wanted.key(owner, "sha256:1", "0" * 64)
    assert key == replace(wanted, packages=(Ecosystem.NPM, Ecosystem.PIP)).key(owner, "sha256:1", "0" * 64)
    others = {
        replace(wanted, digest="e" * 64).key(owner, "sha256:1", "0" * 64),
        replace(wanted, packages=()).key(owner, "sha256:1", "0" * 64),
        wanted.key(OwnerId(ids.fresh()), "sha256:1", "0" * 64),
        wanted.key(owner, "sha256:2", "0" * 64),
        wanted.key(owner, "sha256:1", "1" * 64),
    }
    assert len(others | {key}) == 6


class Images:
    """Layers by name."""

    async def layers(self, image: str) -> tuple[str, ...] | None:
        return {"agent": ("1", "2"), "own/web": ("1", "2", "3"), "own/flat": ("12",), "own/older": ("1", "3")}.get(image)


@pytest.mark.parametrize(
    ("image", "failure"),
    [
        ("own/web", None),
        ("own/flat", ImageUnfit),
        ("own/older", ImageUnfit),
        ("own/none", ImageMissing),
        ("other/web", ImageNotAllowed),
        ("agent", ImageNotAllowed),
    ],
)
async def test_an_image_is_allowed_by_name_and_stands_on_the_agents(image: str, failure: type[Exception] | None) -> None:
    if failure is None:
        await check(Images(), image, "agent", ("own/*",))
        return
    with pytest.raises(failure):
        await check(Images(), image, "agent", ("own/*",))
