"""What of the disk is taken, by which part, of how much, and what to do about it. Pure: `measuring.py` looks.

A part without a limit grows until somebody does something; at a limit a part drops what is oldest, or refuses what is new.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from deploy.nats.rooms import MIB

NEAR: Final = 0.8
"""From this part of its limit on, somebody should know. As with most monitors of disks."""


class AtLimit(StrEnum):
    """What happens to a part that is full."""

    REFUSES = "refuses what is new"
    DROPS = "drops its oldest"
    EVICTS = "removes what was used longest ago"
    GROWS = "has no limit"


_IS_NORMAL = frozenset({AtLimit.EVICTS, AtLimit.GROWS})
"""A cache is meant to be full."""


@dataclass(frozen=True)
class Part:
    """Something that grows."""

    name: str
    used_bytes: int
    limit_bytes: int | None
    at_limit: AtLimit

    @property
    def near(self) -> bool:
        """Whether somebody should know."""
        return self.at_limit not in _IS_NORMAL and bool(self.limit_bytes) and self.used_bytes >= NEAR * (self.limit_bytes or 0)

    @property
    def may_still_take(self) -> int:
        """How much more of the disk it can take by itself."""
        return max(0, (self.limit_bytes or 0) - self.used_bytes)


@dataclass(frozen=True)
class Disk:
    """All parts, and what is left for them. `unseen` says what could not be measured, and why."""

    free_bytes: int
    parts: tuple[Part, ...]
    unseen: tuple[str, ...] = ()

    def warnings(self) -> tuple[str, ...]:
        """What an operator should do something about."""
        near = [
            f"{part.name} holds {mib(part.used_bytes)} of {mib(part.limit_bytes or 0)}; when it is full it {part.at_limit}"
            for part in self.parts
            if part.near
        ]
        return (*near, *shortage(self.free_bytes, self.parts), *(f"not measured: {text}" for text in self.unseen))


def shortage(free_bytes: int, parts: Sequence[Part]) -> tuple[str, ...]:
    """One sentence where the disk has less than the parts may still take."""
    wanted = sum(part.may_still_take for part in parts)
    if free_bytes >= wanted:
        return ()
    lower = "ASYNC_CODE_STORE_MIB and ASYNC_CODE_GIT_CACHE_MIB"
    return (f"{mib(free_bytes)} are free on the disk, and its parts may still take {mib(wanted)}: make room, or lower {lower}",)


def mib(size_bytes: int) -> str:
    """A size for a person."""
    return f"{size_bytes / MIB:,.0f} MiB" if size_bytes >= 10 * MIB else f"{size_bytes / MIB:,.1f} MiB"
