"""The time, as the services sees it and as a test may set it."""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Says what time it is."""

    def now(self) -> datetime:
        """The time, with its zone."""
        ...


class SystemClock:
    """The machine's clock. Replicas' clocks may differ: deadlines are minutes, and one that fires early on one of them fires once."""

    def now(self) -> datetime:
        """The time in UTC."""
        return datetime.now(UTC)
