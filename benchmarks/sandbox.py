"""A sandbox from nothing to its agent's process beside `docker run` of the same container; many at once; workspaces in and out."""

import asyncio
import itertools
import os
import tarfile
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import by_hand
from benchmarks.figures import LOAD, Answer, Row, Say, load, median, milliseconds
from deploy.images import recipe
from deploy.images.settings import ImageSettings
from services.runner.docker_engine import DockerEngine
from services.runner.docker_factory import DockerSandboxes
from services.runner.sandbox import Program, Sandbox, SandboxSpec, Stream
from services.runner.warm import Kind
from shared.events import ids
from shared.events.ids import OwnerId, RunId, TaskId
from shared.events.values import Limits
from tests.integration.services.runner.snapshots import Snapshot, repository, snapshot

_IMAGE = recipe.tags(ImageSettings()).agents["shell"]
_DOCKER = "unix:///var/run/docker.sock"
_MIB = 1024 * 1024
_FILES = {f"file{number}.txt": b"line\n" * 50 for number in range(40)}
_SAY = b"echo here; echo more >> file1.txt\n"
_STEPS = ("there", "repository inside", "first output", "stopped and harvested", "removed")
_MB = 1_000_000
_FILE_BYTES = 50_000

Make = Callable[[SandboxSpec], Awaitable[Sandbox]]


@dataclass(frozen=True)
class Extent:
    """How much is done: so many of each in turn, so many together, workspaces of so many MB, each so often."""

    runs: int = 30
    at_once: int = 20
    sizes_mb: tuple[int, ...] = (5, 200)
    rounds: int = 3


@dataclass
class _Rounds:
    """Seconds of each step of the sandboxes of each round, and of the container by hand beside them."""

    empty: list[float] = field(default_factory=list[float])
    cold: list[list[float]] = field(default_factory=list[list[float]])
    warm: list[list[float]] = field(default_factory=list[list[float]])
    hand: list[float] = field(default_factory=list[float])


async def measure(extent: Extent, say: Say) -> Answer:
    """Sandboxes made anew, without and with a repository, made beforehand, and by hand, in turn; then many at once, and large ones."""
    engine = DockerEngine(_DOCKER)
    sandboxes = DockerSandboxes(engine, deployment=f"measured-{uuid.uuid4()}", runner_id="measured")
    try:
        with TemporaryDirectory(prefix="async-code-sandbox-") as directory:
            room = Path(directory)
            source = snapshot(repository(room / "r", _FILES), room / "s")
            rows = _rows(await _in_turn(sandboxes, source, room / "pack", extent.runs))
            say(f"sandbox: {extent.runs} of each in turn")
            rows += await _at_once(sandboxes, source, room, extent.at_once)
            say(f"sandbox: {extent.at_once} at once")
            for size in extent.sizes_mb:
                rows += await _carried(sandboxes, size, room / f"of{size}", extent.rounds)
                say(f"sandbox: {extent.rounds} times {size} MB in and out")
    finally:
        engine.close()
    return Answer("sandbox", "What does a sandbox cost beside `docker run` of the same container?", _METHOD, tuple(rows))


async def _in_turn(sandboxes: DockerSandboxes, source: Snapshot, pack: Path, runs: int) -> _Rounds:
    rounds = _Rounds()
    for number in range(-1, runs):
        empty = await _empty(sandboxes)
        steps = await _sandbox(sandboxes.create, source, pack)
        prepared = await sandboxes.prepare(_kind().spec(None))
        warmed = await _sandbox(prepared.adopt, source, pack)
        beside = by_hand.first_word(_spec())
        if number >= 0:  # the first warms up
            rounds.empty.append(empty)
            rounds.cold.append(steps)
            rounds.warm.append(warmed)
            rounds.hand.append(beside)
    return rounds


def _rows(rounds: _Rounds) -> list[Row]:
    hand = rounds.hand
    rows = [
        _row("`docker run` → process, without a workspace", hand),
        _row("cold: create → agent process, without a workspace", rounds.empty, hand),
    ]
    for how, ours in (("cold", rounds.cold), ("warm", rounds.warm)):
        rows.append(_row(f"{how}: → agent process, workspace excluded", [steps[0] + steps[2] for steps in ours], hand))
        rows.append(_row(f"{how}: → agent process, workspace included", [sum(steps[:3]) for steps in ours], hand))
        rows += [_row(f"{how}: {name}", [steps[at] for steps in ours]) for at, name in enumerate(_STEPS)]
    return rows


def _row(name: str, seconds: Sequence[float], beside: Sequence[float] = ()) -> Row:
    """With what was measured beside each, the median of the pairs' ratios: a load that comes and goes meets both of a pair."""
    paired = median([ours / peer for ours, peer in zip(seconds, beside, strict=True)]) if beside else None
    return {"what": name, **milliseconds(seconds), "ratio to the client's": paired, LOAD: load()}


async def _empty(sandboxes: DockerSandboxes) -> float:
    """Seconds from asking for a sandbox to the first word of a program in it, with nothing loaded."""
    said: list[float] = []

    async def hear(_stream: Stream, _data: bytes) -> None:
        said.append(time.monotonic())

    began = time.monotonic()
    sandbox = await sandboxes.create(_spec())
    try:
        await sandbox.run(Program(("/bin/echo", "here"), b""), hear)
    finally:
        await sandbox.kill()
    return said[0] - began


async def _sandbox(make: Make, source: Snapshot, pack: Path, script: bytes = _SAY) -> list[float]:
    """Seconds of each step of one sandbox's life."""
    said: list[float] = []

    async def hear(_stream: Stream, _data: bytes) -> None:
        said.append(time.monotonic())

    moments = [time.monotonic()]
    sandbox = await make(_spec(source.tar.stat().st_size))
    try:
        moments.append(time.monotonic())
        await sandbox.load(source.tar, source.base_sha)
        moments.append(time.monotonic())
        await sandbox.run(Program(("/bin/bash", "-s"), script), hear)
        moments.append(said[0])
        ended = time.monotonic()
        await sandbox.stop_agent()
        await sandbox.harvest(source.base_sha, pack)
        harvested = time.monotonic() - ended
    finally:
        removing = time.monotonic()
        await sandbox.kill()
    return [*(end - begin for begin, end in itertools.pairwise(moments)), harvested, time.monotonic() - removing]


async def _at_once(sandboxes: DockerSandboxes, source: Snapshot, room: Path, number: int) -> list[Row]:
    """From asking to the first output of each of many that are asked for together, and of as many by hand."""
    lives = await asyncio.gather(*(_sandbox(sandboxes.create, source, room / f"pack{each}") for each in range(number)))
    with ThreadPoolExecutor(number) as threads:
        loop = asyncio.get_running_loop()
        hand = await asyncio.gather(*(loop.run_in_executor(threads, by_hand.first_word, _spec()) for _ in range(number)))
    return [
        _row(f"{number} at once: `docker run` → process", hand),
        _row(f"{number} at once, cold: → agent process, workspace excluded", sorted(steps[0] + steps[2] for steps in lives), sorted(hand)),
        _row(f"{number} at once, cold: → agent process, workspace included", sorted(sum(steps[:3]) for steps in lives), sorted(hand)),
    ]


async def _carried(sandboxes: DockerSandboxes, size_mb: int, room: Path, rounds: int) -> list[Row]:
    """What a repository of this size costs on its way in, and as a change on its way out: files that nothing compresses."""
    files = {f"d{number % 50}/file{number}.bin": os.urandom(_FILE_BYTES) for number in range(size_mb * _MB // _FILE_BYTES)}
    source = snapshot(repository(room, files), room.with_name(f"{room.name}-snapshot"))
    plain = room.with_name(f"{room.name}.tar")
    with tarfile.open(plain, "w") as archive:
        for name in files:
            archive.add(room / name, name)
    script = f"echo here; for n in {{1..{len(files)}}}; do head -c {_FILE_BYTES} /dev/urandom > new$n.bin; done\n".encode()
    carried = list[tuple[float, float, float, float]]()
    for _ in range(rounds):
        steps = await _sandbox(sandboxes.create, source, room.with_name("pack"), script)
        with by_hand.running(_spec()) as container_id:
            beside = by_hand.carried_in(container_id, plain), by_hand.carried_out(container_id, room.with_name("out.tar"))
        carried.append((steps[1], beside[0], steps[3], beside[1]))
    into, plain_in, out, plain_out = (list(seconds) for seconds in zip(*carried, strict=True))
    return [
        _row(f"{size_mb} MB in: repository inside", into, plain_in),
        _row(f"{size_mb} MB in: `docker exec … tar` of the files alone", plain_in),
        _row(f"{size_mb} MB out: stopped and harvested", out, plain_out),
        _row(f"{size_mb} MB out: `docker exec … tar` of the files alone", plain_out),
    ]


def _kind() -> Kind:
    kind = Kind.of(_spec(), door=False)
    assert kind is not None
    return kind


def _spec(workspace_bytes: int = 8 * _MIB) -> SandboxSpec:
    return SandboxSpec(
        run_id=RunId(ids.fresh()), fence=1, owner=OwnerId(ids.fresh()), task_id=TaskId(ids.fresh()), image=_IMAGE,
        limits=Limits(), workspace_bytes=workspace_bytes, max_result_bytes=256 * _MIB,
    )  # fmt: skip


_METHOD = (
    "One process calls the runner's own sandbox adapter: there (cold: created and started; warm: made beforehand, and adopted), "
    "load a snapshot of 40 files, run a script, stop, harvest, remove. In turn with it, Docker's own client runs the same image with the "
    "same limits, mounts and hardening on the same engine, as `docker run --rm … /bin/echo`. Monotonic clock of that process; the agent's "
    "process counts from its first output, when that arrives there. *Without a workspace* nothing is loaded at all; *workspace excluded* "
    "is the life of a sandbox that has one, less the time in which it was loaded: meanwhile the agent's process is started, and waits. A "
    "ratio is the median of the pairs'. The sizes are repositories of 50 kB files that nothing compresses, and changes that add as many; "
    "beside them the client's `docker exec … tar` carries the same files, without a repository, an index, a comparison or a pack."
)
