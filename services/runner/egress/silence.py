"""How long the upstream lets a door wait: so that a run that nobody hears from is not blamed on its agent. No I/O."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager


class Silence:
    """Of one door, by the monotonic clock."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._last_heard: dict[object, float] = {}

    @contextmanager
    def watched(self) -> Generator[Callable[[], None]]:
        """A request is out while inside; call what it gives whenever a byte of its answer comes."""
        request = object()

        def heard() -> None:
            self._last_heard[request] = self._now()

        heard()
        try:
            yield heard
        finally:
            del self._last_heard[request]

    @property
    def seconds(self) -> float:
        """Of the request that has waited longest for its next byte; 0 where none is out."""
        return self._now() - min(self._last_heard.values(), default=self._now())
