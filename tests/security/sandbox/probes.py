"""The ways out that are tried, as data: what is tried, why it matters, and which answers our sandbox may give."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Attempt = tuple[str | int, ...]
"""A verb of prober.py and its arguments."""

OPEN = "open"
REFUSED = frozenset({"EPERM"})
"""What our filter answers. Anything else means that the kernel was asked."""
NOT_THERE = frozenset({"EACCES", "ENOENT", "EROFS", "ENXIO", "none"})
UNREACHABLE = frozenset({"ENETUNREACH", "EADDRNOTAVAIL", "ECONNREFUSED", "ENOENT", "none"})


@dataclass(frozen=True)
class Probe:
    """One row: its attempts by name, each of which must be closed."""

    name: str
    why: str
    attempts: Mapping[str, Attempt]
    closed: frozenset[str] = REFUSED
    open_because: str = ""
    """Why our sandbox leaves it open; empty where it must be closed."""


@dataclass(frozen=True)
class Group:
    """Rows that belong together."""

    title: str
    probes: tuple[Probe, ...]


def calls(name: str, why: str, closed: frozenset[str] = REFUSED, /, **numbers: Attempt | int) -> Probe:
    """Kernel calls by name and number (x86_64), with arguments where zeros would not do."""
    attempts = {called: ("call", *(given if isinstance(given, tuple) else (given, 0, 0, 0, 0, 0))) for called, given in numbers.items()}
    return Probe(name, why, attempts, closed)


def answers_by_probe(probes: Iterable[Probe], answers: Iterable[str]) -> dict[str, dict[str, str]]:
    """The answers to all attempts in their order, sorted to their probes."""
    given = iter(answers)
    return {probe.name: {attempt: next(given) for attempt in probe.attempts} for probe in probes}
