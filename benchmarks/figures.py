"""What a measurement gives: rows of named figures, each beside the machine's load at that moment. No I/O but the load average."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Value: TypeAlias = str | float | int | None
Row: TypeAlias = dict[str, Value]
LOAD = "load"
"""The column that says how busy the machine was: the load average of the last minute when the row was measured."""

Say = Callable[[str], None]
"""Tells a person how far it is."""


@dataclass(frozen=True)
class Answer:
    """One question's table. Every row has the same columns; one that could not be answered has none, and its method says why."""

    name: str
    question: str
    method: str
    rows: tuple[Row, ...]


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that `share` (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("nothing was measured")
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1))]


def median(values: Iterable[float]) -> float:
    """The middle value."""
    return percentile(values, 0.5)


def milliseconds(seconds: Sequence[float]) -> Row:
    """Median, 99th percentile and number of durations."""
    return {"p50 ms": percentile(seconds, 0.5) * 1000, "p99 ms": percentile(seconds, 0.99) * 1000, "n": len(seconds)}


def ratio(ours: float, peer: float) -> float | None:
    """How many times the peer's figure ours is."""
    return ours / peer if peer else None


def load() -> float:
    """The load average of the last minute."""
    return os.getloadavg()[0]


def row(name: str, **figures: Value) -> Row:
    """A row with the load of now. Underscores in a name stand for blanks."""
    return {"what": name} | {key.replace("_", " "): value for key, value in figures.items()} | {LOAD: load()}


def slope(points: Sequence[tuple[float, float]]) -> float:
    """How much the second number grows per one of the first (least squares); 0 for fewer than two points."""
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
