"""Environments in a container, by the script `environment` of the image."""

import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

from services.runner import container
from services.runner.errors import (
    CheckoutFailed,
    DirectoryMissing,
    DirectoryTracked,
    EnvironmentRefused,
    EnvironmentTooLarge,
    RunFailure,
    SandboxUnavailable,
)
from shared.events.ids import GitSha, Sha256

_LOCKS = re.compile(r"locks ([0-9a-f]{64})\n")
_REFUSALS: dict[int, type[RunFailure]] = {14: DirectoryTracked, 15: DirectoryMissing, 16: EnvironmentRefused, 17: EnvironmentTooLarge}
"""Exit codes of deploy/images/base/lib/environment."""


class Script(Protocol):
    """Runs a script of ours in the container: its exit code and the beginning of what it complained about."""

    def __call__(
        self, user: str, script: str, *arguments: str, sources: Sequence[Path] = (), output: Callable[[bytes], None] | None = None
    ) -> Awaitable[tuple[int, str]]:
        """Files are its standard input, one after the other."""
        ...


Attended = Callable[[str, Path | int], Awaitable[tuple[int, str]]]
"""Lets the container's first process take a step with a file, or a number."""
_SETUP_SECONDS = 2 * 1_800
"""The longest a set-up may take, and one beside it that is waited for."""


class DockerSurroundings:
    """See Surroundings."""

    def __init__(self, script: Script, attended: Attended, stand_by: Callable[[], None], patience_seconds: Callable[[], int]) -> None:
        self._script = script
        self._attended = attended
        self._stand_by = stand_by
        self._patience_seconds = patience_seconds

    async def keep_apart(self, rules: Path) -> Sha256:
        """See Surroundings."""
        await self._attended("live", self._patience_seconds() + _SETUP_SECONDS)
        said = await self._step(container.HARVEST, "rules", sources=(rules,))
        match = _LOCKS.search(said)
        if match is None:
            raise SandboxUnavailable(f"the environment's rules say {said[:200]!r}")
        return match[1]

    async def put_files(self, workspace: Path, base_sha: GitSha, rules: Path) -> None:
        """See Surroundings."""
        code, said = await self._attended("load", workspace)
        if code == 0:
            code, said = await self._script(container.AGENT, "environment", "files", base_sha, sources=(rules,))
        if code != 0:
            raise CheckoutFailed(f"the lock files could not be written: {code}: {said}")

    async def pack(self, rules: Path, archive: Path, max_bytes: int) -> None:
        """See Surroundings."""
        with archive.open("wb") as file:
            await self._step(container.AGENT, "out", sources=(rules,), output=_Bounded(file, max_bytes).write)

    async def unpack(self, rules: Path, archive: Path) -> None:
        """See Surroundings."""
        self._stand_by()  # for the agent: this takes the one there is
        await self._step(container.AGENT, "in", sources=(rules, archive))

    async def _step(self, user: str, *arguments: str, sources: Sequence[Path], output: Callable[[bytes], None] | None = None) -> str:
        code, said = await self._script(user, "environment", *arguments, sources=sources, output=output)
        if code != 0:
            raise _REFUSALS.get(code, SandboxUnavailable)(f"environment {arguments[0]} ended with {code}: {said}")
        return said


class _Bounded:
    """A file that takes no more than it may."""

    def __init__(self, file: BinaryIO, max_bytes: int) -> None:
        self._file = file
        self._left = max_bytes

    def write(self, data: bytes) -> None:
        """Raises EnvironmentTooLarge."""
        self._left -= len(data)
        if self._left < 0:
            raise EnvironmentTooLarge("the directories are over the size limit")
        self._file.write(data)
