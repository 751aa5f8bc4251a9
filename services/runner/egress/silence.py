"""How long the upstream lets a door wait: so that a run that nobody hears from is not blamed on its agent. No I/O."""

import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Protocol


class Heard(Protocol):
    """Called for one request that is out."""

    def __call__(self, *, waits: bool = True) -> None:
        """A byte of its answer has come; the door waits for the next, or not yet: it is the sandbox that does not take this one."""
        ...


class Silence:
    """Of one door, by the monotonic clock."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._last_heard: dict[object, float] = {}

    @contextmanager
    def watched(self) -> Generator[Heard]:
        """A request is out while inside; call what it gives whenever a byte of its answer comes."""
        request = object()

        def heard(*, waits: bool = True) -> None:
            self._last_heard[request] = self._now() if waits else math.inf

        heard()
        try:
            yield heard
        finally:
            del self._last_heard[request]

    @property
    def seconds(self) -> float:
        """Of the request that has waited longest for its next byte; 0 where none is out."""
        now = self._now()
        return now - min([now, *self._last_heard.values()])
