"""When checkpoints are taken: for an agent that told its session, one at a time, and none that fails ends anything."""

import asyncio
from pathlib import Path

from services.runner.agents.claude_code import ClaudeCode
from services.runner.agents.shell import Shell
from services.runner.checkpointing import Checkpointing, Pace, Work
from services.runner.doors import Spending
from services.runner.errors import CheckpointRefused
from services.runner.sandbox import Sandbox, SandboxSpec, SessionPlace, Snapshot, Taken
from services.runner.stopping import Leaving
from shared.events import ids
from shared.events.ids import GitSha, OwnerId, RunId, SessionId, TaskId
from shared.events.output import AgentEvent
from shared.events.values import Limits, Usage
from tests.unit.services.runner.fake_sandbox import FakeSandboxes
from tests.unit.services.runner.sandbox_conformance import ran

BASE = "a" * 40
SESSION = SessionId(ids.fresh())
INIT = f'{{"type":"system","subtype":"init","session_id":"{SESSION}"}}'
SESSION_PATH = f"/home/agent/.claude/projects/-workspace/{SESSION}.jsonl"
TURN = AgentEvent(kind="tool_result")


class Kept:
    """A Keeper that remembers."""

    def __init__(self) -> None:
        self.may_keep = True
        self.kept = list[tuple[SessionId, float, bool]]()
        self.came = asyncio.Event()
        self.refuses = 0

    def begin_anew(self) -> None:
        """Nothing is remembered of what was."""

    def snapshot(self, base_sha: GitSha, place: SessionPlace, *, last: bool) -> Snapshot:
        del last
        return Snapshot(base_sha, place, 1_000)

    async def keep(self, taken: Taken, session_id: SessionId, spending: Spending, *, last: bool) -> None:
        del taken
        self.came.set()
        if self.refuses:
            self.refuses -= 1
            raise CheckpointRefused("not now")
        self.kept.append((session_id, spending.usage.cost_usd, last))


async def spent() -> Spending:
    return Spending(Usage(cost_usd=0.25))


async def working(tmp_path: Path) -> tuple[Sandbox, Kept, Checkpointing]:
    """An agent at work that has a session on its disk and has not told of it yet."""
    spec = SandboxSpec(RunId(ids.fresh()), 1, OwnerId(ids.fresh()), TaskId(ids.fresh()), "image", Limits(), 1_000, 1_000)
    sandbox = await FakeSandboxes("image", BASE).create(spec)
    snapshot = tmp_path / "snapshot"
    snapshot.touch()
    await sandbox.load(snapshot, BASE)
    await ran(sandbox, f"echo said > {SESSION_PATH}")
    kept = Kept()
    return sandbox, kept, Checkpointing(ClaudeCode(), kept, Pace(0, 60), Work(sandbox, BASE, tmp_path), spent)


async def test_a_turn_is_followed_by_a_checkpoint_once_the_session_is_told(tmp_path: Path) -> None:
    _, kept, taking = await working(tmp_path)
    looping = asyncio.create_task(taking.keep_taking())
    taking.hear("{}", TURN)
    taking.hear(INIT, None)
    taking.hear(INIT.replace(SESSION, ids.fresh()), TURN)  # forged, and too late
    async with asyncio.timeout(5):
        await kept.came.wait()
    looping.cancel()
    assert kept.kept == [(SESSION, 0.25, False)]


async def test_one_that_fails_ends_nothing_and_the_last_is_taken_all_the_same(tmp_path: Path) -> None:
    _, kept, taking = await working(tmp_path)
    kept.refuses = 1
    taking.hear(INIT, TURN)
    looping = asyncio.create_task(taking.keep_taking())
    async with asyncio.timeout(5):
        await kept.came.wait()
    await taking.take_last()
    assert not looping.done()
    looping.cancel()
    assert kept.kept == [(SESSION, 0.25, True)]


async def test_nothing_is_taken_without_a_session_or_a_lease_or_a_sandbox(tmp_path: Path) -> None:
    sandbox, kept, taking = await working(tmp_path)
    await taking.take_last()
    taking.hear(INIT, TURN)
    kept.may_keep = False
    await taking.take_last()
    kept.may_keep = True
    await sandbox.kill()
    await taking.take_last()
    assert kept.kept == []
    with_shell = Checkpointing(Shell(), kept, Pace(0, 60), Work(sandbox, BASE, tmp_path), spent)
    with_shell.hear(INIT, TURN)
    await with_shell.take_last()
    assert kept.kept == []


async def test_who_is_at_work_hears_that_the_runner_stops() -> None:
    leaving, heard = Leaving(), list[str]()

    async def first() -> None:
        heard.append("first")

    async def second() -> None:
        heard.append("second")

    with leaving.heard_by(first):
        with leaving.heard_by(second):
            pass
        await leaving.announce()
    assert (heard, leaving.announced) == (["first"], True)
