"""What a project's environment needs of sandboxes, and the values that pass. No I/O here.

A tar of an environment came out of a sandbox and goes into another one; on this side it is bytes in a file.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from shared.events.environments import Environment
from shared.events.ids import GitSha, OwnerId, Sha256
from shared.events.values import Ecosystem

_FORM = "environment 1"
"""Changed whenever the same inputs should be set up anew."""


@dataclass(frozen=True)
class Wanted:
    """The environment of a run, and whose packages its script may read."""

    digest: Sha256
    """Of this version of the project's environment: it holds script, directories and patterns, and no other project has it."""
    environment: Environment
    packages: tuple[Ecosystem, ...] = field(default=())

    @property
    def rules(self) -> bytes:
        """The line of JSON that the sandbox's script takes."""
        told = {"directories": self.environment.directories, "lock_files": self.environment.lock_files}
        return json.dumps(told).encode() + b"\n"

    def key(self, owner: OwnerId, image_id: str, locks: Sha256) -> Sha256:
        """Everything that the set-up's result depends on, as one digest: another value anywhere is another environment."""
        parts: Sequence[str] = (_FORM, owner, self.digest, image_id, locks, *sorted(self.packages))
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class Surroundings(Protocol):
    """The part of a sandbox that knows environments. `rules` is a file with `Wanted.rules`. Each may raise as Sandbox's methods do."""

    async def keep_apart(self, rules: Path) -> Sha256:
        """From now on the directories are no part of the work; the lock files' digest. After `load`. Raises DirectoryTracked."""
        ...

    async def put_files(self, workspace: Path, base_sha: GitSha, rules: Path) -> None:
        """Instead of `load`, for a set-up: of the base the lock files alone. Raises CheckoutFailed."""
        ...

    async def pack(self, rules: Path, archive: Path, max_bytes: int) -> None:
        """Writes the directories to a file. Stop everything first. Raises DirectoryMissing, EnvironmentTooLarge."""
        ...

    async def unpack(self, rules: Path, archive: Path) -> None:
        """Puts them into their places. After `keep_apart`, before the agent. Raises EnvironmentRefused, EnvironmentTooLarge."""
        ...
