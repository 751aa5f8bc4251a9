"""What every sandbox must do: run on the fake and on real containers. A subclass gives the fixture `site`."""

import asyncio
import contextlib
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from services.runner.errors import CheckoutFailed, CheckpointRefused, ImageMissing, SandboxGone, SandboxUnavailable
from services.runner.sandbox import (
    Growth,
    Point,
    Prepared,
    Program,
    Sandbox,
    SandboxFactory,
    SandboxSpec,
    SessionPlace,
    Snapshot,
    Stream,
)
from services.runner.warm import Kind
from shared.events.ids import GitSha, SessionId

BASH = ("/bin/bash", "-euo", "pipefail", "-s")


SESSION = SessionId("0c0f3c1e-3a5b-4c56-9d6e-0a4be1b1d0f3")
PLACE = SessionPlace("/home/agent", 0, f"{SESSION}.jsonl", f"/home/agent/{SESSION}.jsonl")


def moved(directory: Path, name: str) -> Path:
    """A room of its own below."""
    room = directory / name
    room.mkdir()
    return room


@dataclass(frozen=True)
class Site:
    """A host for sandboxes, a specification for one, and a snapshot with its base."""

    sandboxes: SandboxFactory
    spec: SandboxSpec
    workspace: Path
    base_sha: GitSha


class Warmed:
    """A host whose every sandbox was made before its attempt was known."""

    def __init__(self, sandboxes: SandboxFactory) -> None:
        self._sandboxes = sandboxes
        self._made = list[Prepared]()
        self.leftovers = sandboxes.leftovers
        self.prepare = sandboxes.prepare
        self.remove = sandboxes.remove
        self.ready = sandboxes.ready

    async def create(self, spec: SandboxSpec) -> Sandbox:
        kind = Kind.of(spec, door=False)
        assert kind is not None
        self._made.append(await self._sandboxes.prepare(kind.spec(None)))
        return await self._made[-1].adopt(spec)

    async def close(self) -> None:
        """Lets go of what still waits in them."""
        for prepared in self._made:
            await prepared.discard()


class Heard:
    def __init__(self) -> None:
        self.said = {stream: bytearray() for stream in Stream}
        self.spoke = asyncio.Event()

    async def take(self, stream: Stream, data: bytes) -> None:
        self.said[stream].extend(data)
        self.spoke.set()


async def ran(sandbox: Sandbox, script: str) -> tuple[int, bytes, bytes]:
    heard = Heard()
    code = await sandbox.run(Program(BASH, script.encode()), heard.take)
    return code, bytes(heard.said[Stream.STDOUT]), bytes(heard.said[Stream.STDERR])


class SandboxConformance:
    async def test_output_and_exit_code(self, site: Site) -> None:
        sandbox = await site.sandboxes.create(site.spec)
        assert sandbox.image_digest.startswith("sha256:")
        assert await ran(sandbox, "echo out\necho err > /dev/stderr\necho again\nexit 7") == (7, b"out\nagain\n", b"err\n")

    async def test_untouched_work_has_no_pack(self, site: Site, tmp_path: Path) -> None:
        sandbox = await site.sandboxes.create(site.spec)
        await sandbox.load(site.workspace, site.base_sha)
        await sandbox.stop_agent()
        harvest = await sandbox.harvest(site.base_sha, tmp_path / "pack")
        assert harvest.pack is None

    async def test_changed_work_has_a_pack_and_another_tree(self, site: Site, tmp_path: Path) -> None:
        sandbox = await site.sandboxes.create(site.spec)
        await sandbox.load(site.workspace, site.base_sha)
        await sandbox.stop_agent()
        before = await sandbox.harvest(site.base_sha, tmp_path / "none")
        assert (await ran(sandbox, "echo new > file"))[0] == 0
        await sandbox.stop_agent()
        after = await sandbox.harvest(site.base_sha, tmp_path / "pack")
        assert after.pack == tmp_path / "pack"
        assert (tmp_path / "pack").read_bytes()[:4] == b"PACK"
        assert after.tree_sha != before.tree_sha

    async def test_an_unknown_base_is_refused(self, site: Site) -> None:
        sandbox = await site.sandboxes.create(site.spec)
        with pytest.raises(CheckoutFailed):
            await sandbox.load(site.workspace, "0123456789" * 4)

    async def test_a_checkpoint_goes_on_in_another_sandbox(self, site: Site, tmp_path: Path) -> None:
        first = await site.sandboxes.create(site.spec)
        await first.load(site.workspace, site.base_sha)
        await ran(first, f"echo said > {PLACE.path}\necho new > file")
        taken = await first.checkpoint(Snapshot(site.base_sha, PLACE, 1_000), tmp_path)
        assert (taken.growth, taken.session.read_bytes()) == (Growth.WHOLE, b"said\n")
        again = await first.checkpoint(Snapshot(site.base_sha, PLACE, 1_000, taken.tree_sha, taken.tree_sha), moved(tmp_path, "again"))
        assert (again.growth, again.tree_sha) == (Growth.SAME, taken.tree_sha)
        await first.stop_agent()
        made = await first.harvest(site.base_sha, tmp_path / "made")
        await first.kill()

        second = await site.sandboxes.create(site.spec)
        await second.load(site.workspace, site.base_sha)
        await second.resume(site.base_sha, Point(SESSION, taken.session, taken.tree_sha, (taken.pack,)), PLACE.path)
        put_back = await second.checkpoint(Snapshot(site.base_sha, PLACE, 1_000, taken.tree_sha), moved(tmp_path, "back"))
        assert (put_back.growth, put_back.session.read_bytes()) == (Growth.SAME, b"said\n")
        await second.stop_agent()
        assert (await second.harvest(site.base_sha, tmp_path / "made again")).tree_sha == made.tree_sha

    async def test_untouched_work_is_a_checkpoint_without_a_pack(self, site: Site, tmp_path: Path) -> None:
        sandbox = await site.sandboxes.create(site.spec)
        await sandbox.load(site.workspace, site.base_sha)
        await ran(sandbox, f"echo said > {PLACE.path}")
        assert (await sandbox.checkpoint(Snapshot(site.base_sha, PLACE, 1_000), tmp_path)).growth is Growth.BASE

    async def test_no_session_and_too_long_a_session_are_no_checkpoint(self, site: Site, tmp_path: Path) -> None:
        sandbox = await site.sandboxes.create(site.spec)
        await sandbox.load(site.workspace, site.base_sha)
        with pytest.raises(CheckpointRefused):
            await sandbox.checkpoint(Snapshot(site.base_sha, PLACE, 1_000), tmp_path)
        await ran(sandbox, f"echo said > {PLACE.path}")
        with pytest.raises(CheckpointRefused):
            await sandbox.checkpoint(Snapshot(site.base_sha, PLACE, 4), tmp_path)

    async def test_what_is_no_checkpoint_is_not_gone_on_from(self, site: Site, tmp_path: Path) -> None:
        sandbox = await site.sandboxes.create(site.spec)
        await sandbox.load(site.workspace, site.base_sha)
        session, pack = tmp_path / "s", tmp_path / "p"
        session.write_bytes(b"{}\n")
        pack.write_bytes(b"no pack")
        with pytest.raises(CheckpointRefused):
            await sandbox.resume(site.base_sha, Point(SESSION, session, "0" * 40, (pack,)), PLACE.path)

    async def test_stopping_ends_the_agent_and_the_work_stays(self, site: Site, tmp_path: Path) -> None:
        sandbox = await site.sandboxes.create(site.spec)
        await sandbox.load(site.workspace, site.base_sha)
        heard = Heard()
        running = asyncio.create_task(sandbox.run(Program(BASH, b"echo kept > file\necho up\nsleep infinity"), heard.take))
        await heard.spoke.wait()
        await sandbox.stop_agent()
        assert await running == 137
        assert (await sandbox.harvest(site.base_sha, tmp_path / "pack")).pack is not None

    async def test_killing_ends_everything_and_twice_is_once(self, site: Site) -> None:
        sandbox = await site.sandboxes.create(site.spec)
        heard = Heard()
        running = asyncio.create_task(sandbox.run(Program(BASH, b"echo up\nsleep infinity"), heard.take))
        await heard.spoke.wait()
        await sandbox.kill()
        await sandbox.kill()
        with contextlib.suppress(SandboxGone, SandboxUnavailable):
            assert await running == 137
        with pytest.raises((SandboxGone, SandboxUnavailable)):
            await sandbox.condition()
        assert not await site.sandboxes.leftovers()

    async def test_a_healthy_sandbox_has_nothing_to_explain(self, site: Site) -> None:
        condition = await (await site.sandboxes.create(site.spec)).condition()
        assert (condition.oom_kills, condition.disk_full) == (0, False)

    async def test_the_same_attempt_gets_one_sandbox(self, site: Site) -> None:
        await site.sandboxes.create(site.spec)
        with pytest.raises(SandboxUnavailable):
            await site.sandboxes.create(site.spec)

    async def test_a_missing_image_is_said(self, site: Site) -> None:
        with pytest.raises(ImageMissing):
            await site.sandboxes.create(replace(site.spec, image="async-code/none:current"))

    async def test_leftovers_are_found_and_removed(self, site: Site) -> None:
        await site.sandboxes.create(site.spec)
        (leftover,) = await site.sandboxes.leftovers()
        assert (leftover.runner_id, leftover.run_id, leftover.fence) == ("runner-1", site.spec.run_id, site.spec.fence)
        await site.sandboxes.remove(leftover)
        await site.sandboxes.remove(leftover)
        assert not await site.sandboxes.leftovers()
        await site.sandboxes.ready()
