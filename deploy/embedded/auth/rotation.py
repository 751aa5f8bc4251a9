"""What happens to a session when one of its refresh tokens comes. Pure: every case in one function.

The immediate parent may come back once, because a client can lose the answer; it gets the current token. Any other old token means
that two parties hold the session, so it ends (RFC 9700, section 4.14.2).
"""

from enum import Enum, auto


class Rotation(Enum):
    """What to do."""

    ADVANCE = auto()
    GIVE_CURRENT = auto()
    REVOKE = auto()


def decide(*, sent: int, current: int, parent_reused: bool) -> Rotation:
    """For token number `sent` of a session whose current one is `current`."""
    if sent == current:
        return Rotation.ADVANCE
    if sent == current - 1 and not parent_reused:
        return Rotation.GIVE_CURRENT
    return Rotation.REVOKE
