"""What an attempt makes of its agent's end and its door's word, on sandboxes in memory."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from pydantic import SecretStr

from services.runner.agents.adapter import Assignment, Ending, Options
from services.runner.attempt import Attempt, Made, Order
from services.runner.checkpointing import Pace
from services.runner.doors import Door, DoorRequest, NullEgress, Refused, Spending
from services.runner.egress_client import EgressUnreachable
from services.runner.recorder import Recorder
from services.runner.sandbox import Program, SandboxSpec, SessionPlace
from services.runner.stopping import Leaving, Stop
from services.runner.warm import Pool
from shared.events import ids
from shared.events.ids import OwnerId, RunId, SessionId, TaskId
from shared.events.output import AgentEvent
from shared.events.values import Ecosystem, Limits
from tests.unit.services.runner.fake_sandbox import FakeSandboxes
from tests.unit.services.runner.test_checkpointing import Kept

BASE = "0123456789" * 4
IMAGE = "async-code/says-so:current"


class SaysSo:
    """An agent that calls whatever it did a success."""

    name = "says-so"
    vendor = "anthropic"
    keeps_to_turns = True
    options = Options()

    def program(self, assignment: Assignment) -> Program:
        return Program(("/bin/bash", "-s"), assignment.prompt.encode())

    def parse(self, line: str) -> AgentEvent | None:
        return AgentEvent(kind="log", text=line)

    def session_of(self, line: str) -> SessionId | None:
        del line

    def session_place(self, session_id: SessionId) -> SessionPlace | None:
        del session_id

    def verdict(self, ending: Ending) -> str | None:
        return None if ending.exit_code == 0 else "agent_exit"


class Doors(NullEgress):
    """A way out that reports these, one after the other, and the last one again; None: it does not answer."""

    def __init__(self, *reports: Spending | None) -> None:
        self._reports: Sequence[Spending | None] = reports
        self._asked = 0

    async def open(self, request: DoorRequest) -> Door:
        return Door(Path("/run/egress") / str(request.fence), "model.sock", SecretStr("worthless"))

    async def spending(self, run_id: RunId, fence: int) -> Spending:
        del run_id, fence
        report = self._reports[min(self._asked, len(self._reports) - 1)]
        self._asked += 1
        if report is None:
            raise EgressUnreachable("nobody there")
        return report

    async def close(self, run_id: RunId, fence: int) -> Spending:
        return await self.spending(run_id, fence)


@pytest.fixture
async def recorder(tmp_path: Path) -> AsyncIterator[Recorder]:
    async def publish(payload: bytes, message_id: str) -> int:
        del payload, message_id
        return 1

    async with Recorder(RunId(ids.fresh()), 1, tmp_path / "transcript", publish, 1_000_000) as recorder:
        yield recorder


async def made(recorder: Recorder, room: Path, doors: Doors, script: str = "echo made > file") -> Made:
    run_id, owner, task = RunId(ids.fresh()), OwnerId(ids.fresh()), TaskId(ids.fresh())
    limits = Limits()
    spec = SandboxSpec(
        run_id=run_id, fence=1, owner=owner, task_id=task, image=IMAGE, limits=limits, workspace_bytes=1, max_result_bytes=1_000
    )
    (room / "workspace.tar").touch()
    order = Order(
        spec=spec,
        assignment=Assignment(run_id, script, None, limits, None),
        door_request=DoorRequest(run_id, 1, owner, task, None, "anthropic", 1.0, None),
        base_sha=BASE,
        workspace=room / "workspace.tar",
        pack=room / "pack",
        room=room,
        keeper=Kept(),
        pace=Pace(10, 60),
        leaving=Leaving(),
    )

    async def started(image_digest: str) -> None:
        assert image_digest

    pool = Pool(FakeSandboxes(IMAGE, BASE), doors, each=0, total=0)
    return await Attempt(pool, doors, SaysSo(), recorder, Stop()).run(order, started)


@pytest.mark.parametrize(
    ("reports", "code"),
    [
        pytest.param((Spending(answers=1),), None, id="it was answered"),
        pytest.param((Spending(answers=0),), "model_not_asked", id="it was not"),
        pytest.param((Spending(answers=0, upstream_status=401),), "model_auth", id="its model refused"),
        pytest.param((None,), None, id="nobody can say"),
    ],
)
async def test_an_agent_without_an_answer_of_its_model_has_not_ended_well(
    recorder: Recorder, tmp_path: Path, reports: tuple[Spending | None, ...], code: str | None
) -> None:
    ended = await made(recorder, tmp_path, Doors(*reports))
    assert ended.code == code
    assert ended.harvest is not None
    assert ended.harvest.pack is not None


async def test_a_bad_end_is_what_the_agent_makes_of_it(recorder: Recorder, tmp_path: Path) -> None:
    assert (await made(recorder, tmp_path, Doors(Spending(answers=0)), "exit 1")).code == "agent_exit"


async def test_what_was_refused_is_said_once_with_its_host_also_what_only_the_closing_tells(recorder: Recorder, tmp_path: Path) -> None:
    host = Refused("module_host_denied", "0" * 64, Ecosystem.GO, "attacker.example")
    late = Refused("token_wrong", "1" * 64)
    before = Spending(answers=1, refusals=(host,))
    ended = await made(recorder, tmp_path, Doors(before, before, Spending(answers=1, refusals=(host, late))))
    await recorder.close()
    said = [line for line in (tmp_path / "transcript").read_text().splitlines() if "Refused" in line]
    assert len(said) == 2
    assert "Refused at the door: go packages, module_host_denied (attacker.example)." in said[0]
    assert "Refused at the door: the model, token_wrong." in said[1]
    assert ended.spending.refusals == (host, late)
