"""Requests at a steady rate, whatever the server does: a late answer delays no other request, and counts from when it was due."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from os import sysconf
from pathlib import Path

_TICKS = sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Passed:
    """How long each request took from the moment it was due, and what the server's processor time was for all of them."""

    seconds: list[float]
    cpu_seconds: float


async def steady(send: Callable[[int], Awaitable[None]], *, rate: int, seconds: float, pid: int) -> Passed:
    """Send `rate` requests a second to the server `pid`. Raises what `send` raises."""
    before, began = cpu_seconds(pid), time.monotonic()

    async def one(number: int) -> float:
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        await send(number)
        return time.monotonic() - due

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(number)) for number in range(int(rate * seconds))]
    return Passed([task.result() for task in tasks], cpu_seconds(pid) - before)


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far: proc(5), stat, utime and stime."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
