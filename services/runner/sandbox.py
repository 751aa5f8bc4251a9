"""What a run needs of a sandbox, and the values both sides pass. No I/O here.

A sandbox is one container for one attempt. What it says and hands out is untrusted, whoever asked for it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from services.runner.surroundings import Surroundings
from shared.events.ids import GitSha, OwnerId, RunId, SessionId, TaskId
from shared.events.values import Limits


class Stream(StrEnum):
    """Where a program wrote."""

    STDOUT = "stdout"
    STDERR = "stderr"


OnOutput = Callable[[Stream, bytes], Awaitable[None]]
"""Takes a program's output in pieces as they come; a program that writes faster waits."""


@dataclass(frozen=True)
class SandboxSpec:
    """One attempt's sandbox."""

    run_id: RunId
    fence: int
    owner: OwnerId
    task_id: TaskId
    image: str
    limits: Limits
    workspace_bytes: int
    """Size of the snapshot, for which there must be room."""
    max_result_bytes: int
    """The largest pack that may leave the sandbox."""
    door: Path | None = None
    """A host directory with the one socket that leads out; mounted read-only. None: no way out at all."""
    sets_up: bool = False
    """It is for the project's set-up script, beside the attempt's own."""


@dataclass(frozen=True)
class Program:
    """A program of the agent: an argument list, its environment, and all of its standard input. No shell of ours takes part."""

    argv: tuple[str, ...]
    stdin: bytes = b""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Condition:
    """What may explain why an agent ended badly."""

    oom_kills: int = 0
    disk_full: bool = False
    pids_refused: int = 0
    """How often the kernel refused the agent another process or thread."""


@dataclass(frozen=True)
class Elsewhere:
    """What the base names and the work tree does not hold: counts alone, for a repository's names are its authors' words."""

    lfs_pointers: int = 0
    """Files whose content is in Git LFS."""
    submodules: int = 0
    """Directories that are other repositories, and empty here."""


@dataclass(frozen=True)
class Harvest:
    """The tree the work became, and a thin pack of what it adds to the base; no pack when it is the base's own tree."""

    tree_sha: GitSha
    pack: Path | None
    special_files: int = 0
    """Sockets and pipes, which no tree can hold."""
    ignored: int = 0
    """Files and whole directories that the work's own `.gitignore` keeps out, whatever the agent's index held."""


@dataclass(frozen=True)
class SessionPlace:
    """Where an agent keeps the one file of a session. Nothing of it was said by a sandbox but the session's id, a UUID."""

    directory: str
    depth: int
    """How many directories further down it may lie."""
    suffix: str
    """How its name ends."""
    path: str
    """Where it is put back."""


@dataclass(frozen=True)
class Snapshot:
    """What to take a checkpoint of, and what is stored already."""

    base_sha: GitSha
    session: SessionPlace
    max_session_bytes: int
    last: GitSha | None = None
    """The tree of the last one: where it is still that, there is nothing to take."""
    have: GitSha | None = None
    """A tree that need not come again; None: all that the work adds to the base."""


class Growth(StrEnum):
    """What a checkpoint's tree is, and so what its pack adds to."""

    SAME = "same"
    """It is the last one's: no pack."""
    BASE = "base"
    """It is the base's own: no pack."""
    WHOLE = "whole"
    """The pack is what it adds to the base."""
    MORE = "more"
    """The pack is what it adds to the base and the tree that need not come again."""


@dataclass(frozen=True)
class Taken:
    """A checkpoint as it came out: the session's file, the tree, and the pack where there is one."""

    session: Path
    tree_sha: GitSha
    growth: Growth
    pack: Path


@dataclass(frozen=True)
class Point:
    """A checkpoint to go on from."""

    session_id: SessionId
    session: Path
    tree_sha: GitSha
    packs: tuple[Path, ...]


@dataclass(frozen=True)
class Leftover:
    """A sandbox that exists, by its labels."""

    container_id: str
    runner_id: str
    run_id: RunId
    """Empty while it waits for a run."""
    fence: int
    ended: bool = False
    """Nothing runs in it any more."""


class Sandbox(Protocol):
    """One attempt's sandbox, up and empty. Every method but `kill` may raise SandboxGone or SandboxUnavailable.

    A `run` that is under way when the sandbox is killed ends: it returns 137, or raises one of the two.
    """

    @property
    def image_digest(self) -> str:
        """The image it runs, by content."""
        ...

    @property
    def surroundings(self) -> Surroundings:
        """What it can do for a project's environment."""
        ...

    async def load(self, workspace: Path, base_sha: GitSha) -> Elsewhere:
        """Unpacks the snapshot inside and checks out `base_sha` in /workspace; what of it is not there. Raises CheckoutFailed."""
        ...

    async def resume(self, base_sha: GitSha, point: Point, session_path: str) -> None:
        """Makes of the base that was loaded what a checkpoint holds. Raises CheckpointRefused; the sandbox is of no use then."""
        ...

    async def checkpoint(self, snapshot: Snapshot, room: Path) -> Taken:
        """Writes session, then work, to files in `room`, while the agent goes on. Raises CheckpointRefused."""
        ...

    async def run(self, program: Program, on_output: OnOutput) -> int:
        """Runs a program as the agent, in /workspace, to its end; its exit code (128 + signal when it was killed)."""
        ...

    async def stop_agent(self) -> None:
        """Ends every process of the agent; returns when none is left."""
        ...

    async def condition(self) -> Condition:
        """What the sandbox's limits say."""
        ...

    async def harvest(self, base_sha: GitSha, pack: Path) -> Harvest:
        """Writes what the work adds to the base to `pack`. Stop the agent first. Raises WorkRefused, ResultTooLarge, HarvestInvalid."""
        ...

    async def kill(self) -> None:
        """Ends and removes the sandbox, whatever it does; a second time does nothing."""
        ...


class Prepared(Protocol):
    """A sandbox that is up and belongs to no run yet. It is adopted once, or discarded."""

    async def adopt(self, spec: SandboxSpec) -> Sandbox:
        """The sandbox, from now on of this attempt. Raises SandboxGone, SandboxUnavailable, EngineUnreachable."""
        ...

    async def discard(self) -> None:
        """Ends and removes it."""
        ...


class SandboxFactory(Protocol):
    """Where sandboxes come from."""

    async def create(self, spec: SandboxSpec) -> Sandbox:
        """A sandbox that is up. Raises ImageMissing, SandboxUnavailable, EngineUnreachable."""
        ...

    async def prepare(self, spec: SandboxSpec) -> Prepared:
        """A sandbox that is up, for an attempt that is not known yet: run, owner and task of `spec` are empty. Raises as `create`."""
        ...

    async def leftovers(self) -> Sequence[Leftover]:
        """Every sandbox of this deployment on this host."""
        ...

    async def remove(self, leftover: Leftover) -> None:
        """Ends and removes it; nothing when it is gone."""
        ...

    async def ready(self) -> None:
        """Raises EngineUnreachable when no sandbox could be made."""
        ...
