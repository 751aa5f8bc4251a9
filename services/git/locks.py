"""File locks that outlive a killed service exactly as long as the git command it started: the command inherits the descriptor.

Waiting polls, so that it can be cancelled and has an end.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from services.git.errors import LockTimedOut

_POLL_SECONDS = 0.02


def _try(descriptor: int, *, shared: bool) -> bool:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@asynccontextmanager
async def locked(path: Path, *, shared: bool = False, wait_seconds: float = 600.0) -> AsyncGenerator[int]:
    """Hold the lock; gives the descriptor to hand to commands. Raises LockTimedOut."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = asyncio.get_running_loop().time() + wait_seconds
    try:
        while not _try(descriptor, shared=shared):
            if asyncio.get_running_loop().time() >= deadline:
                raise LockTimedOut(f"{path.name} stays locked")
            await asyncio.sleep(_POLL_SECONDS)
        yield descriptor
    finally:
        os.close(descriptor)
