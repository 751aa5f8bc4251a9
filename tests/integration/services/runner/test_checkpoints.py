"""A run goes on from its last checkpoint on another runner, whatever ended the attempt before; or it says why not, and begins anew."""

from pathlib import Path

import pytest

from services.runner.agents import registry
from services.runner.agents.adapter import Assignment, Ending, Options
from services.runner.manifest import Manifest
from services.runner.sandbox import Program, SessionPlace
from shared.blobs.store import BlobStore
from shared.bus.connection import Bus
from shared.events.envelope import AnyEnvelope
from shared.events.facts import RunCheckpointed, RunFinished, RunStarted
from shared.events.ids import SessionId, is_uuid
from shared.events.output import AgentEvent
from shared.events.values import BlobClass, BlobRef
from tests.integration.services.runner.snapshots import Snapshot, git
from tests.integration.services.runner.stage import Stage, in_process

SESSION = SessionId("5f0c2a0e-9f6f-4b0c-8f2e-4a1d2f3b4c5d")
PROGRAM = r"""
session=/home/agent/diary/a/$ID.jsonl
if [[ $1 == anew ]]; then mkdir -p "${session%/*}"; echo '{"first": 1}' > "$session"; fi
echo "session $ID"
[[ -s $session ]] || exit 1
source /dev/stdin
"""


class Diary:
    """A script that keeps a session: on going on it gets the same script, with $1 to tell, and its files and its session."""

    name = "diary"
    vendor = None
    keeps_to_turns = True
    options = Options()

    def program(self, assignment: Assignment) -> Program:
        begins = "anew" if assignment.session_id is None else "on"
        argv = ("/bin/bash", "-euo", "pipefail", "-c", PROGRAM, "diary", begins)
        return Program(argv, assignment.prompt.encode(), {"ID": assignment.session_id or SESSION})

    def parse(self, line: str) -> AgentEvent | None:
        return AgentEvent(kind="tool_result" if line.startswith("turn") else "log", text=line)

    def session_of(self, line: str) -> SessionId | None:
        told = line.removeprefix("session ")
        return SessionId(told) if is_uuid(told) else None

    def session_place(self, session_id: SessionId) -> SessionPlace | None:
        return SessionPlace("/home/agent/diary", 1, f"{session_id}.jsonl", f"/home/agent/diary/a/{session_id}.jsonl")

    def verdict(self, ending: Ending) -> str | None:
        return None if ending.exit_code == 0 else "agent_exit"


WORK = """
if [[ $1 == anew ]]; then
  echo half > half.txt; rm src/a.txt; chmod +x readme.md; ln -s half.txt link; printf 'a\\r\\n' > crlf.txt; echo '{"turn": 1}' >> "$session"
  echo turn one; sleep 1000
fi
cat half.txt; wc -l < "$session"; [[ ! -e src/a.txt && -x readme.md && $(readlink link) == half.txt && $(wc -c < crlf.txt) == 3 ]]
echo whole > whole.txt
"""


@pytest.fixture(autouse=True)
def diary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.AGENTS, "diary", Diary())


async def checkpointed(stage: Stage, command: AnyEnvelope, count: int = 1) -> list[RunCheckpointed]:
    """The facts of the run's checkpoints, as soon as there are so many."""

    async def told() -> list[RunCheckpointed]:
        return [fact.data for fact in await stage.facts(command) if isinstance(fact.data, RunCheckpointed)]

    return await stage.seen(told, lambda found: len(found) >= count)


async def starts(stage: Stage, command: AnyEnvelope) -> list[int]:
    """The fences of the attempts."""
    return [fact.data.fence for fact in await stage.facts(command) if isinstance(fact.data, RunStarted)]


async def said(stage: Stage, command: AnyEnvelope) -> str:
    return "\n".join(line.event.text for line in await stage.output(command))


async def test_a_lost_sandbox_goes_on_from_its_last_checkpoint(
    stage: Stage, small_snapshot: Snapshot, tmp_path: Path, shell_image: str
) -> None:
    async with in_process(stage, tmp_path / "runner", shell_image):
        command = await stage.command(small_snapshot, WORK, agent="diary")
        (told, *_) = await checkpointed(stage, command)
        (sandbox,) = await stage.sandboxes()
        await stage.docker.remove(sandbox)
        ended = await stage.ending(command)
    assert isinstance(ended, RunFinished)
    first, second = await starts(stage, command)
    assert told.fence == first < second == ended.fence
    assert "the agent goes on from the last checkpoint" in await said(stage, command)
    assert {"half", "2"} <= set((await said(stage, command)).splitlines())
    assert ended.result is not None
    pack = tmp_path / "result.pack"
    pack.write_bytes(await stage.blob(ended.result))
    tree = git(small_snapshot.take_in(pack, tmp_path / "whole"), "ls-tree", "-r", "--name-only", ended.tree_sha)
    assert tree.split() == ["crlf.txt", "half.txt", "link", "readme.md", "whole.txt"]


async def test_a_runner_that_stops_leaves_a_checkpoint_to_the_next(
    stage: Stage, small_snapshot: Snapshot, tmp_path: Path, shell_image: str
) -> None:
    await stage.shorten_ack_wait(2)
    async with in_process(stage, tmp_path / "one", shell_image, grace_seconds=0.2, checkpoint_turn_seconds=60):
        command = await stage.command(small_snapshot, WORK, agent="diary")
        await stage.says(command, "turn one")
        assert not [fact for fact in await stage.facts(command) if isinstance(fact.data, RunCheckpointed)]
    assert not await stage.sandboxes()
    await checkpointed(stage, command)
    async with in_process(stage, tmp_path / "two", shell_image):
        assert isinstance(await stage.ending(command), RunFinished)
    assert "the agent goes on from the last checkpoint" in await said(stage, command)


async def test_a_checkpoint_is_small_where_little_changed(stage: Stage, small_snapshot: Snapshot, tmp_path: Path, shell_image: str) -> None:
    script = """
head -c 300000 /dev/urandom > big
for n in {1..9000}; do echo '{"line": "....................................................."}'; done > "$session"
echo turn one; until compgen -G '/checkpoint/git/objects/??/*' > /dev/null; do sleep 0.1; done
while pgrep -f async-code/checkpoint; do sleep 0.1; done
echo small > small; echo '{"one": "more"}' >> "$session"; echo turn two; sleep 1000
"""
    async with in_process(stage, tmp_path / "runner", shell_image):
        command = await stage.command(small_snapshot, script, agent="diary")
        facts = await checkpointed(stage, command, 2)
        first, *_, second = [await manifest_of(stage, fact.checkpoint) for fact in facts]
    assert first.session_bytes < second.session_bytes
    assert first.session[:2] == second.session[:2]
    assert second.packs[:1] == first.packs
    assert second.packs[1].size_bytes < 1_000
    assert first.packs[0].size_bytes > 300_000


async def test_an_agent_that_turns_its_files_over_does_not_fill_the_store(
    stage: Stage, small_snapshot: Snapshot, tmp_path: Path, shell_image: str
) -> None:
    """The store is everybody's. What was taken until then holds, and so does the last one of a runner that stops."""
    script = """
for n in {1..1000}; do head -c 600000 /dev/urandom > ~/next; mv ~/next big; echo "turn $n"; sleep 0.2; done
"""
    await stage.shorten_ack_wait(2)
    async with in_process(stage, tmp_path / "runner", shell_image, grace_seconds=0.2, max_checkpoints_mib=1):
        command = await stage.command(small_snapshot, script, agent="diary")
        await checkpointed(stage, command, 2)
        first = len(await stage.output(command))
        await stage.seen(lambda: stage.output(command), lambda lines: len(lines) > first + 10)
        assert len(await checkpointed(stage, command)) == 2
    assert len(await checkpointed(stage, command)) == 3


async def manifest_of(stage: Stage, ref: BlobRef) -> Manifest:
    return Manifest.model_validate_json(await stage.blob(ref))


@pytest.mark.parametrize("broken", ["manifest", "pack", "session", "tree", "missing"])
async def test_a_checkpoint_that_is_none_is_said_and_the_run_begins_anew(
    stage: Stage, small_snapshot: Snapshot, tmp_path: Path, shell_image: str, broken: str
) -> None:
    runner = await Bus.connect(stage.server.settings("runner"))
    blobs = BlobStore(runner)

    async def stored(data: bytes) -> BlobRef:
        return await blobs.put_bytes(BlobClass.CHECKPOINT, data)

    lost = BlobRef(blob_class=BlobClass.CHECKPOINT, sha256="0" * 64, size_bytes=9)
    script = "echo began $1; [[ $1 == anew ]] && echo whole > whole.txt"
    command = await stage.unsent(small_snapshot, script, agent="diary")
    whole = Manifest(
        run_id=command.data.run_id,
        agent="diary",
        session_id=SESSION,
        session=(await stored(b"{}\n"),),
        base_sha=small_snapshot.base_sha,
        tree_sha=git(small_snapshot.repository, "rev-parse", "HEAD^{tree}"),
    )
    documents = {
        "manifest": b"{}",
        "pack": whole.model_copy(update={"packs": (await stored(b"PACK no pack"),)}).model_dump_json().encode(),
        "session": whole.model_copy(update={"session": (await stored(b""),)}).model_dump_json().encode(),
        "tree": whole.model_copy(update={"tree_sha": "1" * 40}).model_dump_json().encode(),
        "missing": whole.model_copy(update={"session": (lost,)}).model_dump_json().encode(),
    }
    named = command.data.model_copy(update={"resume": await stored(documents[broken])})
    await runner.stop()
    async with in_process(stage, tmp_path / "runner", shell_image):
        asked = command.model_copy(update={"data": named})
        await stage.scheduler.publish(asked)
        ended = await stage.ending(asked)
    assert isinstance(ended, RunFinished)
    heard = await said(stage, asked)
    assert "the agent begins anew" in heard
    assert "began anew" in heard
    assert "began on" not in heard
    assert len(await starts(stage, asked)) == 1


async def test_an_agent_that_keeps_no_session_begins_anew(stage: Stage, small_snapshot: Snapshot, tmp_path: Path, shell_image: str) -> None:
    """A script for the shell is written for the base: it is not run again on what it half did."""
    async with in_process(stage, tmp_path / "runner", shell_image):
        command = await stage.command(small_snapshot, "echo turn; [[ ! -e half ]]; touch half; [[ $(hostname) ]]; echo begun; sleep 4")
        await stage.says(command, "begun")
        (sandbox,) = await stage.sandboxes()
        await stage.docker.remove(sandbox)
        assert isinstance(await stage.ending(command), RunFinished)
    assert not [fact for fact in await stage.facts(command) if isinstance(fact.data, RunCheckpointed)]


async def test_a_checkpoint_that_fails_disturbs_nobody(stage: Stage, small_snapshot: Snapshot, tmp_path: Path, shell_image: str) -> None:
    script = "git init -q sub; echo turn; sleep 1; echo turn; sleep 1; rm -rf sub; echo whole > whole.txt"
    async with in_process(stage, tmp_path / "runner", shell_image):
        command = await stage.command(small_snapshot, script, agent="diary")
        assert isinstance(await stage.ending(command), RunFinished)
    assert not [fact for fact in await stage.facts(command) if isinstance(fact.data, RunCheckpointed)]
