"""How long a run waits for a model API that fails: here, and not in the agents, of which one gives up at once and another after seconds.

Codex never asks again after a 429; Claude Code gives up at the third overload in a row, within two seconds, and where it is told to come
back in an hour it sits that hour out. So the door waits for all of them, and is asked for no longer than `seconds` in a row: then the
failure stands, by a status that no agent asks again after. A run that has worked for an hour outlives a minute's overload, and nobody
waits for an API that is down. No I/O.
"""

import time
from collections.abc import Callable, Mapping

_FIRST_SECONDS, _LEAST_SECONDS, _MOST_SECONDS = 1.0, 0.1, 16.0
_MILLISECONDS = 1_000
_ENOUGH = 5
"""Unfinished answers in a row: more than an agent that gives up by itself asks for."""


class Patience:
    """One door's. It is used up by all of its requests together and comes back with the first answer."""

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._now = now
        self._failing_since: float | None = None

    def answered(self) -> None:
        """The API has answered."""
        self._failing_since = None

    def pause(self, tries: int, begun: float, headers: Mapping[str, str]) -> float | None:
        """How long to wait before a request of the time `begun` is asked once more, after `tries` failures; None: no longer."""
        now = self._now()
        self._failing_since = now if self._failing_since is None else self._failing_since
        said, doubled = _said(headers), 2 ** min(tries - 1, 10)
        pause = min(_FIRST_SECONDS * doubled, _MOST_SECONDS) if said is None else max(said, _LEAST_SECONDS * doubled)
        return pause if now + pause - min(self._failing_since, begun) <= self.seconds else None


class Unfinished:
    """One door's answers that began well and then failed, in a row. An agent asks again by itself, and one of them for ever.

    A single one says nothing after any time: the agent may have worked with what came of it. So it takes `_ENOUGH` of them, and `seconds`.
    """

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._now = now
        self._count = 0
        self._since = 0.0

    def whole(self) -> None:
        """An answer has come to its good end."""
        self._count = 0

    def another(self) -> None:
        """One has not."""
        self._since = self._since if self._count else self._now()
        self._count += 1

    @property
    def lasting_seconds(self) -> float | None:
        """For how long it has been so, where nothing is asked any more."""
        lasting = self._now() - self._since
        return lasting if self._count >= _ENOUGH and lasting > self._seconds else None


def _said(headers: Mapping[str, str]) -> float | None:
    """RFC 9110 §10.2.3, in seconds; a date is not read. Vendors also say it in milliseconds."""
    for name, unit in (("retry-after-ms", _MILLISECONDS), ("retry-after", 1)):
        text = headers.get(name, "")
        if text.isascii() and text.isdecimal():
            return int(text[:9]) / unit
    return None
