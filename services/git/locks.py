"""File locks that outlive a killed service exactly as long as the git command it started: the command inherits the descriptor.

Waiting polls, so that it can be cancelled and has an end. A lock file may be removed by whoever holds it alone: who gets the lock of a
file that is no longer there begins again with the one that is.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from services.git.errors import LockTimedOut

_POLL_SECONDS = 0.02


def _try(descriptor: int, *, shared: bool) -> bool:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_there(path: Path, descriptor: int) -> bool:
    """Whether the open file is the one of that name still."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False


@asynccontextmanager
async def locked(path: Path, *, shared: bool = False, wait_seconds: float = 600.0) -> AsyncGenerator[int]:
    """Hold the lock; gives the descriptor to hand to commands. Makes the file, and the directory it is in. Raises LockTimedOut."""
    deadline = asyncio.get_running_loop().time() + wait_seconds
    while True:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not _try(descriptor, shared=shared):
                if asyncio.get_running_loop().time() >= deadline:
                    raise LockTimedOut(f"{path.name} stays locked")
                await asyncio.sleep(_POLL_SECONDS)
            if _is_there(path, descriptor):
                yield descriptor
                return
        finally:
            os.close(descriptor)
