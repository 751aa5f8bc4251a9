"""Slows down guessing: counts failed sign-ins per account and per address, in this process, within a sliding window.

Memory is bounded: the least recently failed keys go first. A restart forgets; that costs an attacker's clock nothing worth having.
"""

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from deploy.embedded.auth.errors import OverRequestRateLimit

WINDOW_SECONDS = 300.0
PER_ACCOUNT = 10
"""NIST SP 800-63B-4, 3.2.2 allows 100 in a row; far fewer are enough for a person."""
PER_ADDRESS = 50
_MAX_KEYS = 10_000


class Throttle:
    """Failures by key, each with a limit of its own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def check(self, account: str, address: str | None) -> None:
        """Raises OverRequestRateLimit where either has failed too often of late, whatever the password is."""
        for key, limit in _keys(account, address):
            recent = self._recent(key)
            if len(recent) >= limit:
                raise OverRequestRateLimit(max(1, math.ceil(recent[0] + WINDOW_SECONDS - self._clock())))

    def failed(self, account: str, address: str | None) -> None:
        """Count a wrong password."""
        for key, limit in _keys(account, address):
            moments = self._failures.setdefault(key, deque(maxlen=2 * limit))
            moments.append(self._clock())
            self._failures.move_to_end(key)
        while len(self._failures) > _MAX_KEYS:
            self._failures.popitem(last=False)

    def succeeded(self, account: str, address: str | None) -> None:
        """Forget an account's failures and this one of the address; its others stay, or one known account would open all the others."""
        self._failures.pop(_account(account), None)
        if address is not None and (moments := self._failures.get(_address(address))):
            moments.pop()

    def _recent(self, key: str) -> deque[float]:
        moments = self._failures.get(key, deque())
        while moments and moments[0] <= self._clock() - WINDOW_SECONDS:
            moments.popleft()
        return moments


def _keys(account: str, address: str | None) -> tuple[tuple[str, int], ...]:
    own = ((_account(account), PER_ACCOUNT),)
    return own if address is None else (*own, (_address(address), PER_ADDRESS))


def _account(account: str) -> str:
    return f"account {account}"


def _address(address: str) -> str:
    return f"address {address}"
