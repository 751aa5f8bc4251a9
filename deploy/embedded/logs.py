"""Keeps the processes' logs from filling the disk: a file that has grown too large is copied aside and cut to nothing.

The processes write to the files themselves, so a supervisor that hangs blocks nobody; what they write between the copy and the cut
is lost, which is a few lines at most.
"""

import asyncio
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

MAX_BYTES = 16 * 1024 * 1024
KEPT = 3
EVERY_SECONDS = 20.0


def rotate(path: Path, max_bytes: int = MAX_BYTES) -> bool:
    """Move `path` to `path`.1, .1 to .2 and so on, when it is larger than `max_bytes`; whether it was."""
    if not path.exists() or path.stat().st_size <= max_bytes:
        return False
    for number in range(KEPT - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    copy = path.with_name(f"{path.name}.1")
    shutil.copyfile(path, copy)
    copy.chmod(0o600)
    os.truncate(path, 0)
    return True


async def keep_small(paths: Iterable[Path], max_bytes: int = MAX_BYTES) -> None:
    """Rotate for ever."""
    watched = list(paths)
    while True:
        await asyncio.sleep(EVERY_SECONDS)
        for path in watched:
            await asyncio.to_thread(rotate, path, max_bytes)


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, for a person."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 16_384))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])


def why_misconfigured(path: Path) -> str:
    """What a process said last about settings that it refused: which and why, never their values."""
    for line in reversed(tail(path).splitlines()):
        try:
            said: dict[str, Any] = json.loads(line)
            if said["event"] == "settings_invalid":
                return "; ".join(f"{fault['setting']}: {fault['problem']}" for fault in cast("list[dict[str, str]]", said["faults"]))
        except (ValueError, KeyError, TypeError):  # not every line is one of a service
            continue
    return f"its settings are wrong; {path} says which"
