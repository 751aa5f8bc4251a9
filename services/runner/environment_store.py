"""What set-ups made, on the runner's disk: one tar per key, the least recently used ones dropped. A cache: any file may go at any time."""

import asyncio
import contextlib
import os
import shutil
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import structlog

from services.runner.errors import RunFailure
from shared.events.ids import Sha256

log = structlog.get_logger()

_MADE = ".tar"
_DRAFT = ".new"


@dataclass
class Turn:
    """Whose turn it is to make one; `failure` is how the last one failed that those who wait now have waited for."""

    lock: asyncio.Lock
    waiting: int = 0
    failure: RunFailure | None = None


class EnvironmentStore:
    """Holds at most `max_bytes`, but the newest always. One process alone may use its directory."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._turns: dict[Sha256, Turn] = {}

    def open(self) -> None:
        """Makes the directory, and clears what a process before this one did not finish."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for draft in self._directory.glob(f"*{_DRAFT}"):
            draft.unlink(missing_ok=True)
        self._drop_oldest()

    @contextlib.asynccontextmanager
    async def turn(self, key: Sha256) -> AsyncGenerator[None]:
        """While inside, nobody else makes or takes this one: who waits finds what was made, or fails as its making did."""
        turn = self._turns.setdefault(key, Turn(asyncio.Lock()))
        turn.waiting += 1
        try:
            async with turn.lock:
                if turn.failure is not None:
                    raise type(turn.failure)(f"as beside it: {turn.failure}")
                try:
                    yield
                except RunFailure as failure:
                    turn.failure = failure
                    raise
        finally:
            turn.waiting -= 1
            if not turn.waiting:
                del self._turns[key]

    async def take(self, key: Sha256, into: Path) -> bool:
        """Gives the tar a second name, under which it stays whatever happens here; False where it is not there."""
        return await asyncio.to_thread(self._take, key, into)

    def _take(self, key: Sha256, into: Path) -> bool:
        path = self._path(key)
        try:
            os.link(path, into)
            os.utime(path)
        except FileNotFoundError:
            return False
        return True

    async def keep(self, key: Sha256, made: Path) -> None:
        """Stores a tar, whole or not at all. A disk that cannot take it costs the next run its time, and this one nothing."""
        try:
            await asyncio.to_thread(self._keep, key, made)
        except OSError as error:
            log.warning("environment_not_kept", key=key, error=type(error).__name__, detail=str(error))

    def _keep(self, key: Sha256, made: Path) -> None:
        draft = self._directory / f"{uuid.uuid4()}{_DRAFT}"
        try:
            os.link(made, draft)
        except OSError:
            shutil.copyfile(made, draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(self._path(key))
        self._drop_oldest()

    async def drop(self, key: Sha256) -> None:
        """It is of no use."""
        await asyncio.to_thread(self._path(key).unlink, missing_ok=True)

    def _drop_oldest(self) -> None:
        kept = sorted(((path.stat().st_mtime_ns, path.stat().st_size, path) for path in self._directory.glob(f"*{_MADE}")), reverse=True)
        total = 0
        for place, (_, size, path) in enumerate(kept):
            total += size
            if place and total > self._max_bytes:
                log.info("environment_dropped", key=path.stem, size_bytes=size)
                path.unlink(missing_ok=True)

    def _path(self, key: Sha256) -> Path:
        return self._directory / f"{key}{_MADE}"
