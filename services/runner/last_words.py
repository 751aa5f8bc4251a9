"""Why sandboxes died that nobody ended: what the engine knew and what their first process said, kept for the operator on the runner's disk.

A few small files, the oldest of which go first. They may quote what a repository holds, so nothing but this directory ever has them.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

KEPT_FILES = 50
KEPT_BYTES = 64 * 1024
"""Of each one's output: its end."""
KEPT_SECONDS = 7 * 24 * 3_600


@dataclass(frozen=True)
class LastWords:
    """A directory of them."""

    directory: Path

    def keep(self, name: str, state: Mapping[str, object], said: bytes) -> Path:
        """Writes one down and forgets the oldest."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.directory / f"{name}.log"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(json.dumps(dict(state), sort_keys=True, default=str).encode() + b"\n" + said[-KEPT_BYTES:])
        self.forget(time.time())
        return path

    def forget(self, now: float) -> None:
        """Removes what is too old, and the oldest beyond the number that is kept."""
        files = sorted(self.directory.glob("*.log"), key=lambda path: path.stat().st_mtime, reverse=True)
        for place, path in enumerate(files):
            if place >= KEPT_FILES or now - path.stat().st_mtime > KEPT_SECONDS:
                path.unlink(missing_ok=True)
