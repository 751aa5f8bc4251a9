"""What every sandbox must do: run on the fake and on real containers. A subclass gives the fixture `site`."""

import asyncio
import contextlib
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from services.runner.errors import CheckoutFailed, ImageMissing, SandboxGone, SandboxUnavailable
from services.runner.sandbox import Prepared, Program, Sandbox, SandboxFactory, SandboxSpec, Stream
from services.runner.warm import Kind
from shared.events.ids import GitSha

BASH = ("/bin/bash", "-euo", "pipefail", "-s")


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
