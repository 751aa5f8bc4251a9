"""What can go wrong on the bus, and what a handler says by raising: whether to try again is the error's type."""

from typing import Literal

RefusalReason = Literal["not_found", "invalid"]


class BusError(Exception):
    """Something on the bus failed."""


class Transient(BusError):
    """It may work later: the command is tried again after 1, 5, 30 and 120 seconds, then it is a dead letter."""


class Terminal(BusError):
    """It will never work: the command becomes a dead letter at once."""


class Postpone(Exception):
    """Not a failure: the command is to come back later, as often as it takes, and never becomes a dead letter for that."""

    def __init__(self, delay_seconds: float) -> None:
        super().__init__(f"postponed for {delay_seconds} seconds")
        self.delay_seconds = delay_seconds


class BusUnreachable(Transient):
    """The NATS server cannot be reached."""


class NotAuthorized(Terminal):
    """The NATS server does not know this user's key: render its configuration with this key and restart it."""


class NotPermitted(Terminal):
    """The NATS server denies this user the subject. What each user may do stands in deploy/nats/README.md."""


class BusClosed(Terminal):
    """The connection was closed for good; the process must start again."""


class MessageTooLarge(Terminal):
    """The message is over the server's limit of one megabyte."""


class StoreFull(Transient):
    """The stream has no room left for the message."""


class StoreRefused(Terminal):
    """The stream refuses the message."""


class WrongRevision(Terminal):
    """Somebody else wrote the key: the expected revision is not its last."""


class AlreadyStored(Terminal):
    """The subject holds its message already, and nobody overwrites here."""


class ReadFailed(Transient):
    """A stream could not be read."""


class NoAnswer(Transient):
    """Nobody answered the question in time, or who did failed at it."""


class Refused(Terminal):
    """The question was heard and refused. `not_found` also stands for "not yours"."""

    def __init__(self, reason: RefusalReason) -> None:
        super().__init__(reason)
        self.reason: RefusalReason = reason


class NotReady(BusError):
    """The bus cannot do its work: not connected, or a consumer is missing."""


class LeaseHeld(Transient):
    """Another holder's lease on the run is alive. `remaining_seconds` is how long at most, unless it is renewed."""

    def __init__(self, remaining_seconds: float) -> None:
        super().__init__(f"held for up to {remaining_seconds:.1f} seconds more")
        self.remaining_seconds = remaining_seconds


class LeaseLost(Terminal):
    """The lease is somebody else's, or nobody's: whatever it protected must stop."""
