"""Runs on a real bus in real containers: one ending per command, and what it carries is what happened."""

import asyncio
import time
from pathlib import Path

import pytest

from shared.bus.connection import Bus
from shared.bus.lease import Leases
from shared.bus.streams import Stream
from shared.events import commands, envelope, ids
from shared.events.facts import RunFailed, RunFinished, RunStarted
from shared.events.ids import RunId
from shared.events.values import BlobClass, BlobRef, Fate, Limits, Usage
from tests.integration.services.runner.inside import SMALL
from tests.integration.services.runner.snapshots import Snapshot, git, repository, snapshot
from tests.integration.services.runner.stage import EngineDoor, RunnerProcess, Stage, in_process

WORK = "echo working; echo two >> readme.md; echo oops >&2"
HOLDS_ALL_PROCESSES = """python3 -c 'import subprocess, time
while True:
    try: subprocess.Popen(["sleep", "600"])
    except OSError: time.sleep(0.01)'"""
MANY_PROCESSES = 'python3 -c \'import subprocess\nwhile True: subprocess.Popen(["sleep", "60"])\''


async def test_a_run_from_command_to_fact(working: Stage, small_snapshot: Snapshot, tmp_path: Path) -> None:
    command = await working.command(small_snapshot, WORK)
    ended = await working.ending(command)
    assert isinstance(ended, RunFinished)
    assert (ended.run_id, ended.base_sha, ended.usage) == (command.data.run_id, small_snapshot.base_sha, Usage())
    assert ended.started_at <= ended.finished_at

    started, finished = await working.facts(command)
    assert isinstance(started.data, RunStarted)
    assert (started.data.fence, started.causationid, finished.causationid) == (ended.fence, command.id, command.id)

    assert ended.result is not None
    pack = tmp_path / "result.pack"
    pack.write_bytes(await working.blob(ended.result))
    whole = small_snapshot.take_in(pack, tmp_path / "whole")
    assert git(whole, "cat-file", "blob", f"{ended.tree_sha}:readme.md") == "hello\ntwo"
    await working.settled()


async def test_the_transcript_is_what_went_out(working: Stage, small_snapshot: Snapshot) -> None:
    command = await working.command(small_snapshot, "for n in {1..2000}; do echo line $n; done; echo err >&2")
    ended = await working.ending(command)
    assert ended.transcript is not None
    stored = await working.gateway.read(Stream.OUT, f"out.{command.owner}.{command.task}.{command.data.run_id}", after=0)
    assert await working.blob(ended.transcript) == b"".join(message.data + b"\n" for message in stored)
    assert (ended.out_first, ended.out_last) == (stored[0].sequence, stored[-1].sequence)
    lines = await working.output(command)
    assert [line.number for line in lines] == list(range(1, len(lines) + 1))
    assert {line.fence for line in lines} == {ended.fence}
    said = "\n".join(line.event.text for line in lines if line.event.kind == "log" and not line.event.name)
    assert said == "\n".join(f"line {number}" for number in range(1, 2001))
    assert [line.event.text for line in lines if line.event.name == "stderr"] == ["err"]
    assert lines[-1].event.text == "The agent ended with exit code 0."


async def test_a_person_is_told_what_is_not_there_and_what_is_left_out(working: Stage, tmp_path: Path) -> None:
    source = repository(tmp_path / "source", {".gitignore": b"*.log\n"})
    git(source, "update-index", "--add", "--cacheinfo", f"160000,{git(source, 'rev-parse', 'HEAD')},sub")
    git(source, "commit", "--quiet", "--message", "submodule")
    command = await working.command(snapshot(source, tmp_path / "snapshot"), "echo at-work; echo x > a.log; git add --force a.log")
    await working.ending(command)
    assert [line.event.text for line in await working.output(command)] == [
        "1 submodule is empty; it cannot be fetched here.",
        "The sandbox is up; the agent starts.",
        "at-work",
        "The agent ended with exit code 0.",
        "1 ignored file or directory is not part of the change (.gitignore).",
    ]


async def test_unchanged_work_has_no_result(working: Stage, small_snapshot: Snapshot) -> None:
    ended = await working.ending(await working.command(small_snapshot, "true"))
    assert isinstance(ended, RunFinished)
    assert ended.result is None
    assert ended.tree_sha == git(small_snapshot.repository, "rev-parse", "HEAD^{tree}")


async def test_a_prompt_is_data_whatever_it_holds(working: Stage, small_snapshot: Snapshot) -> None:
    ended = await working.command(small_snapshot, "cat > out <<'E'\n$(id) `id` \"' ; \x00 & | \u2028 é\nE")
    finished = await working.ending(ended)
    assert isinstance(finished, RunFinished)
    assert finished.result is not None


@pytest.mark.parametrize(
    ("script", "limits", "code"),
    [
        pytest.param("echo kept > file; exit 3", SMALL, "agent_exit", id="exit code"),
        pytest.param("echo kept > file; kill -9 $$", SMALL, "agent_killed", id="killed"),
        pytest.param("echo kept > file; sleep 60", SMALL.model_copy(update={"wall_seconds": 1}), "wall_time", id="wall time"),
        pytest.param("echo kept > file; sleep 60", SMALL.model_copy(update={"idle_seconds": 1}), "idle_time", id="idle time"),
        pytest.param("echo kept > file; python3 -c 'x = bytearray(4 << 30)'", SMALL, "out_of_memory", id="memory"),
        pytest.param("echo kept > file; head -c 100M /dev/zero > ~/big", SMALL, "disk_full", id="disk"),
        pytest.param(f"echo kept > file; {MANY_PROCESSES}", SMALL, "pids_exhausted", id="pids"),
    ],
)
async def test_a_failed_agents_work_is_kept(working: Stage, small_snapshot: Snapshot, script: str, limits: Limits, code: str) -> None:
    ended = await working.ending(await working.command(small_snapshot, script, limits))
    assert isinstance(ended, RunFailed)
    assert ended.failure.code == code
    assert ended.fence > 0
    assert ended.result is not None
    assert ended.transcript is not None
    assert (await working.blob(ended.result))[:4] == b"PACK"


@pytest.mark.parametrize(
    ("script", "code"), [("git init -q x; echo f > x/f", "nested_repository"), ("mkfifo p; git clone -q . x", "nested_repository")]
)
async def test_work_git_cannot_carry_fails_loudly(working: Stage, small_snapshot: Snapshot, script: str, code: str) -> None:
    ended = await working.ending(await working.command(small_snapshot, script))
    assert isinstance(ended, RunFailed)
    assert (ended.failure.code, ended.result) == (code, None)
    assert ended.transcript is not None


async def test_a_run_is_stopped_by_its_fate_at_once_and_its_work_kept(working: Stage, small_snapshot: Snapshot) -> None:
    command = await working.command(small_snapshot, "echo kept > file; echo at-work; sleep 1000")
    await working.says(command, "at-work")
    begun = time.monotonic()
    await working.decide(command, Fate.CANCELLED)
    ended = await working.ending(command)
    assert time.monotonic() - begun < 10
    assert isinstance(ended, RunFailed)
    assert ended.failure.code == "cancelled"
    assert ended.result is not None


async def test_a_fate_that_comes_while_the_agent_starts_stops_it_too(working: Stage, small_snapshot: Snapshot) -> None:
    command = await working.command(small_snapshot, "(trap '' TERM; sleep 1000) & sleep 1000")
    await working.says(command, "the agent starts")
    await working.decide(command, Fate.CANCELLED)
    ended = await working.ending(command, seconds=20)
    assert isinstance(ended, RunFailed)
    assert ended.failure.code == "cancelled"


async def test_a_run_whose_fate_is_decided_never_starts(stage: Stage, small_snapshot: Snapshot, tmp_path: Path, shell_image: str) -> None:
    cancelled, finished = await stage.command(small_snapshot, WORK), await stage.command(small_snapshot, WORK)
    await stage.decide(cancelled, Fate.CANCELLED)
    await stage.decide(finished, Fate.FINISHED)
    async with in_process(stage, tmp_path / "runner", shell_image):
        ended = await stage.ending(cancelled)
        await stage.settled()
    assert isinstance(ended, RunFailed)
    assert (ended.failure.code, ended.fence) == ("cancelled", 0)
    assert not await stage.facts(finished)
    assert len(await stage.facts(cancelled)) == 1


async def test_a_command_that_comes_again_does_nothing(working: Stage, small_snapshot: Snapshot) -> None:
    command = await working.command(small_snapshot, WORK)
    await working.ending(command)
    await working.settled()
    before = await working.facts(command)
    await working.again(command)
    await working.settled()
    assert await working.facts(command) == before


async def test_another_try_of_a_run_that_has_ended_starts_nothing(working: Stage, small_snapshot: Snapshot) -> None:
    first = await working.command(small_snapshot, WORK)
    await working.ending(first)
    before = await working.facts(first)
    # What the scheduler sends when a deadline passes while the first try still stands in the queue.
    await working.scheduler.publish(envelope.new(first.data, source="scheduler", owner=first.owner, task=first.task))
    await working.settled()
    assert await working.facts(first) == before


async def test_while_the_engine_is_away_the_command_waits_and_has_not_failed(
    stage: Stage, small_snapshot: Snapshot, tmp_path: Path, shell_image: str
) -> None:
    async with (
        EngineDoor(tmp_path / "docker.sock") as door,
        in_process(stage, tmp_path / "runner", shell_image, docker_host=f"unix://{door.path}", retry_delays_seconds=()),
    ):
        await door.close()
        command = await stage.command(small_snapshot, WORK)
        async with asyncio.timeout(30):
            await door.knocked.wait()
        door.shut = False
        assert isinstance(await stage.ending(command), RunFinished)


async def test_what_is_missing_ends_the_run(working: Stage, small_snapshot: Snapshot) -> None:
    nobody = await working.command(small_snapshot, WORK, agent="nobody")
    lost = await working.command(small_snapshot, None)
    blob = BlobRef(blob_class=BlobClass.WORKSPACE, sha256="0" * 64, size_bytes=10)
    run_id = RunId(ids.fresh())
    working.prompts[run_id] = WORK
    payload = commands.RunnerStart(run_id=run_id, agent="shell", limits=SMALL, base_sha=small_snapshot.base_sha, workspace=blob)
    gone = envelope.new(payload, source="scheduler", owner=ids.fresh(), task=ids.fresh())
    await working.scheduler.publish(gone)
    for command, code in ((nobody, "unknown_agent"), (lost, "internal"), (gone, "blob_missing")):
        assert (await working.ending(command)).failure.code == code


async def test_a_missing_image_ends_the_run(stage: Stage, small_snapshot: Snapshot, tmp_path: Path) -> None:
    async with in_process(stage, tmp_path / "runner", "async-code/none:current"):
        assert (await stage.ending(await stage.command(small_snapshot, WORK))).failure.code == "image_missing"


async def test_a_flood_is_cut_and_said(stage: Stage, small_snapshot: Snapshot, tmp_path: Path, shell_image: str) -> None:
    async with in_process(stage, tmp_path / "runner", shell_image, max_output_mib=1):
        command = await stage.command(small_snapshot, "(yes 0123456789 || true) | head -c 10M; head -c 3M /dev/zero; echo; echo end > file")
        ended = await stage.ending(command)
    assert isinstance(ended, RunFinished)
    assert ended.transcript is not None
    assert ended.transcript.size_bytes < 1.1 * 1024 * 1024
    assert (await stage.output(command))[-1].event.text.startswith("The agent said more than is kept: ")


async def test_an_agent_that_takes_every_process_is_ended_all_the_same(working: Stage, small_snapshot: Snapshot) -> None:
    limits = SMALL.model_copy(update={"wall_seconds": 2})
    bomb = working.command(small_snapshot, "echo kept > file; b() { b | b & }; b; sleep 60", limits)
    holding = working.command(small_snapshot, f"echo kept > file; exec {HOLDS_ALL_PROCESSES}", limits)
    for command in await asyncio.gather(bomb, holding):
        ended = await working.ending(command)
        assert isinstance(ended, RunFailed)
        assert ended.failure.code in {"wall_time", "pids_exhausted"}
        assert ended.result is not None


async def test_a_container_that_is_taken_from_under_a_run_costs_an_attempt(working: Stage, small_snapshot: Snapshot) -> None:
    command = await working.command(small_snapshot, "echo at-work; sleep 2; echo kept > file")
    await working.says(command, "at-work")
    (first,) = await working.sandboxes()
    await working.docker.remove(first)
    ended = await working.ending(command)
    assert isinstance(ended, RunFinished)
    assert ended.fence > first.fence
    lines = await working.output(command)
    assert next(line.event.text for line in reversed(lines) if line.fence == first.fence).startswith("The sandbox was lost")
    await working.settled()


async def test_a_run_that_was_to_stop_ends_also_without_its_container(working: Stage, small_snapshot: Snapshot) -> None:
    command = await working.command(small_snapshot, "echo at-work; sleep 1000")
    await working.says(command, "at-work")
    (sandbox,) = await working.sandboxes()
    await asyncio.gather(working.decide(command, Fate.CANCELLED), working.docker.remove(sandbox))
    ended = await working.ending(command, seconds=20)
    assert isinstance(ended, RunFailed)
    assert ended.failure.code == "cancelled"


async def test_two_runs_at_a_time_and_the_third_waits(working: Stage, small_snapshot: Snapshot) -> None:
    runs = [await working.command(small_snapshot, f"echo {number} > file; sleep 1") for number in range(3)]
    endings = [await working.ending(run) for run in runs]
    assert all(isinstance(ended, RunFinished) for ended in endings)
    first, second, third = sorted(ended.started_at for ended in endings)
    assert (second - first).total_seconds() < (third - first).total_seconds()
    assert third >= min(ended.finished_at for ended in endings)


async def test_while_another_holds_the_lease_the_command_waits(
    stage: Stage, small_snapshot: Snapshot, tmp_path: Path, shell_image: str
) -> None:
    other = await Bus.connect(stage.server.settings("runner"))
    command = await stage.command(small_snapshot, WORK)
    lease = await Leases(other, 60).claim(command.data.run_id, "other")
    async with in_process(stage, tmp_path / "runner", shell_image):
        with pytest.raises(TimeoutError):
            await stage.ending(command, seconds=1.5)
        await lease.release()
        await stage.again(command)
        ended = await stage.ending(command)
    await other.stop()
    assert isinstance(ended, RunFinished)
    assert ended.fence > lease.fence


async def test_a_lost_lease_ends_the_sandbox_and_says_nothing(
    stage: Stage, small_snapshot: Snapshot, tmp_path: Path, shell_image: str
) -> None:
    async with in_process(stage, tmp_path / "runner", shell_image, lease_seconds=2):
        command = await stage.command(small_snapshot, "echo at-work; sleep 4; echo more >> readme.md")
        await stage.says(command, "at-work")
        (first,) = await stage.sandboxes()
        await stage.server.freeze()
        await stage.no_sandboxes()
        await stage.server.thaw()
        ended = await stage.ending(command, seconds=90)
    assert isinstance(ended, RunFinished)
    assert ended.fence > first.fence
    fences = [fact.data.fence for fact in await stage.facts(command)]
    assert fences == [first.fence, ended.fence, ended.fence]


@pytest.mark.parametrize("number", [9, 15], ids=["SIGKILL", "SIGTERM"])
async def test_a_runner_that_dies_in_the_middle_leaves_one_ending(
    stage: Stage, small_snapshot: Snapshot, tmp_path: Path, shell_image: str, number: int
) -> None:
    await stage.shorten_ack_wait(3)
    (tmp_path / "runner").mkdir()
    process = RunnerProcess(stage, tmp_path / "runner", shell_image)
    await process.start()
    command = await stage.command(small_snapshot, "echo at-work; sleep 3; echo more >> readme.md")
    await stage.says(command, "at-work")
    (first,) = await stage.sandboxes()
    await process.end(number)
    left = await stage.sandboxes()
    assert left == ([first] if number == 9 else [])
    await process.start()
    ended = await stage.ending(command, seconds=90)
    await stage.settled()
    assert await process.end(15) == 0
    assert isinstance(ended, RunFinished)
    assert ended.fence > first.fence
    assert len(await stage.endings(command)) == 1
    assert not await stage.sandboxes()
    assert not list((tmp_path / "runner" / "work").glob("*"))
