"""Sandboxes in memory: enough of a shell to run the scripts of the conformance suite, and of a tree to harvest."""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from services.runner import container
from services.runner.errors import (
    CheckoutFailed,
    CheckpointRefused,
    DirectoryMissing,
    DirectoryTracked,
    EnvironmentRefused,
    EnvironmentTooLarge,
    ImageMissing,
    SandboxGone,
    SandboxUnavailable,
)
from services.runner.sandbox import (
    Condition,
    Elsewhere,
    Growth,
    Harvest,
    Leftover,
    OnOutput,
    Point,
    Program,
    Sandbox,
    SandboxSpec,
    Snapshot,
    Stream,
    Taken,
)
from shared.events.ids import GitSha, Sha256

KILLED = 137


class FakeSandboxes:
    """A host whose one image is `image` and whose snapshots hold `base_sha`."""

    def __init__(self, image: str, base_sha: GitSha, runner_id: str = "runner-1") -> None:
        self.alive: dict[str, FakeSandbox] = {}
        self._image = image
        self._base_sha = base_sha
        self._runner_id = runner_id

    async def create(self, spec: SandboxSpec) -> Sandbox:
        if spec.image != self._image:
            raise ImageMissing(spec.image)
        name = container.name(spec)
        if name in self.alive:
            raise SandboxUnavailable(f"{name} is there already")
        self.alive[name] = FakeSandbox(self, spec, self._base_sha)
        return self.alive[name]

    async def prepare(self, spec: SandboxSpec) -> "FakePrepared":
        if spec.image != self._image:
            raise ImageMissing(spec.image)
        name = container.warm_name()
        self.alive[name] = FakeSandbox(self, spec, self._base_sha)
        return FakePrepared(self, name)

    async def leftovers(self) -> Sequence[Leftover]:
        return [Leftover(name, self._runner_id, sandbox.spec.run_id, sandbox.spec.fence) for name, sandbox in self.alive.items()]

    async def remove(self, leftover: Leftover) -> None:
        if leftover.container_id in self.alive:
            await self.alive[leftover.container_id].kill()

    async def ready(self) -> None:
        """A fake always is."""


class FakePrepared:
    def __init__(self, host: FakeSandboxes, name: str) -> None:
        self._host = host
        self._name = name

    async def adopt(self, spec: SandboxSpec) -> Sandbox:
        if self._name not in self._host.alive:
            raise SandboxGone(self._name)
        if container.name(spec) in self._host.alive:
            raise SandboxUnavailable(f"{container.name(spec)} is there already")
        sandbox = self._host.alive.pop(self._name)
        sandbox.spec = spec
        self._name = container.name(spec)
        self._host.alive[self._name] = sandbox
        return sandbox

    async def discard(self) -> None:
        self._host.alive.pop(self._name, None)


class FakeSurroundings:
    """An archive is the names and contents of what lies below the directories, as JSON."""

    def __init__(self, sandbox: "FakeSandbox") -> None:
        self._of = sandbox

    async def keep_apart(self, rules: Path) -> Sha256:
        self._of.apart, lock_files = await _told(rules)
        if any(self._of.is_apart(name) for name in self._of.files):
            raise DirectoryTracked(str(self._of.apart))
        locks = sorted((name, text) for name, text in self._of.files.items() if name in lock_files)
        return hashlib.sha256(json.dumps(locks).encode()).hexdigest()

    async def put_files(self, workspace: Path, base_sha: GitSha, rules: Path) -> None:
        await self._of.load(workspace, base_sha)
        _, lock_files = await _told(rules)
        self._of.files = {name: text for name, text in self._of.files.items() if name in lock_files}

    async def pack(self, rules: Path, archive: Path, max_bytes: int) -> None:
        self._of.apart, _ = await _told(rules)
        made = {name: text for name, text in self._of.files.items() if self._of.is_apart(name)}
        if not all(any(name.startswith(f"{directory}/") for name in made) for directory in self._of.apart):
            raise DirectoryMissing(str(self._of.apart))
        packed = json.dumps(made).encode()
        if len(packed) > max_bytes:
            raise EnvironmentTooLarge
        await asyncio.to_thread(archive.write_bytes, packed)

    async def unpack(self, rules: Path, archive: Path) -> None:
        del rules
        made = json.loads(await asyncio.to_thread(archive.read_bytes))
        if not all(self._of.is_apart(name) for name in made):
            raise EnvironmentRefused(str(list(made)))
        self._of.files |= made


async def _told(rules: Path) -> tuple[list[str], list[str]]:
    told = json.loads(await asyncio.to_thread(rules.read_bytes))
    return [directory.removeprefix("/workspace/") for directory in told["directories"]], told["lock_files"]


class FakeSandbox:
    def __init__(self, host: FakeSandboxes, spec: SandboxSpec, base_sha: GitSha) -> None:
        self.spec = spec
        self.image_digest = "sha256:fake"
        self.reported = Condition()
        self._host = host
        self._base_sha = base_sha
        self.files: dict[str, str] = {}
        self._base: dict[str, str] = {}
        self._home: dict[str, str] = {}
        self._stopped = asyncio.Event()
        self._gone = False
        self.apart: list[str] = []
        self.surroundings = FakeSurroundings(self)

    async def load(self, workspace: Path, base_sha: GitSha) -> Elsewhere:
        self._must_live()
        if base_sha != self._base_sha or not await asyncio.to_thread(workspace.exists):
            raise CheckoutFailed(base_sha)
        self._base = {"readme.md": "hello"}
        self.files = dict(self._base)
        return Elsewhere()

    async def resume(self, base_sha: GitSha, point: Point, session_path: str) -> None:
        self._must_live()
        assert base_sha == self._base_sha
        if point.packs:
            packed = await asyncio.to_thread(point.packs[-1].read_bytes)
            if not packed.startswith(b"PACK"):
                raise CheckpointRefused("no pack")
            self.files = json.loads(packed.removeprefix(b"PACK"))
        if self._tree() != point.tree_sha:
            raise CheckpointRefused("another tree")
        self._home[session_path] = (await asyncio.to_thread(point.session.read_text)).removesuffix("\n")

    async def checkpoint(self, snapshot: Snapshot, room: Path) -> Taken:
        self._must_live()
        place = snapshot.session
        found = [text for name, text in self._home.items() if name.startswith(place.directory) and name.endswith(place.suffix)]
        if not found or len(found[0]) >= snapshot.max_session_bytes:
            raise CheckpointRefused("no session")
        session, pack = room / "session", room / "pack"
        await asyncio.to_thread(session.write_text, found[0] + "\n")
        if self._tree() == snapshot.last:
            return Taken(session, self._tree(), Growth.SAME, pack)
        if self._work() == self._base:
            return Taken(session, self._tree(), Growth.BASE, pack)
        await asyncio.to_thread(pack.write_bytes, b"PACK" + json.dumps(self._work()).encode())
        return Taken(session, self._tree(), Growth.WHOLE, pack)

    def _tree(self) -> GitSha:
        work = sorted(self._work().items())
        return hashlib.sha1(json.dumps(work).encode(), usedforsecurity=False).hexdigest()

    def _work(self) -> dict[str, str]:
        return {name: text for name, text in self.files.items() if not self.is_apart(name)}

    def is_apart(self, name: str) -> bool:
        """Whether it lies in a directory of the environment."""
        return any(name.startswith(f"{directory}/") for directory in self.apart)

    async def run(self, program: Program, on_output: OnOutput) -> int:
        self._must_live()
        self._stopped.clear()
        for line in program.stdin.decode().splitlines():
            if line.startswith("exit "):
                return int(line.removeprefix("exit "))
            if line.startswith("flood "):
                for _ in range(int(line.removeprefix("flood "))):
                    await on_output(Stream.STDOUT, b"x" * 59_999 + b"\n")
                continue
            if line.startswith("sleep "):
                await self._stopped.wait()
                return KILLED
            await self._said(line.removeprefix("echo "), on_output)
        return 0

    async def _said(self, words: str, on_output: OnOutput) -> None:
        text, redirected, name = words.partition(" > ")
        if not redirected:
            await on_output(Stream.STDOUT, text.encode() + b"\n")
        elif name == "/dev/stderr":
            await on_output(Stream.STDERR, text.encode() + b"\n")
        elif name.startswith("/"):
            self._home[name] = text
        else:
            self.files[name] = text

    async def stop_agent(self) -> None:
        self._must_live()
        self._stopped.set()

    async def condition(self) -> Condition:
        self._must_live()
        return self.reported

    async def harvest(self, base_sha: GitSha, pack: Path) -> Harvest:
        self._must_live()
        assert base_sha == self._base_sha
        changed = self._work() != self._base
        if changed:
            await asyncio.to_thread(pack.write_bytes, b"PACK" + json.dumps(self._work()).encode())
        return Harvest(self._tree(), pack if changed else None)

    async def kill(self) -> None:
        self._gone = True
        self._stopped.set()
        self._host.alive.pop(container.name(self.spec), None)

    def _must_live(self) -> None:
        if self._gone:
            raise SandboxGone(container.name(self.spec))
