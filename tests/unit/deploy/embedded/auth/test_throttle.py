import pytest

from deploy.embedded.auth.errors import OverRequestRateLimit
from deploy.embedded.auth.throttle import PER_ACCOUNT, PER_ADDRESS, WINDOW_SECONDS, Throttle


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_an_account_is_closed_after_too_many_failures_and_opens_again() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for _ in range(PER_ACCOUNT):
        throttle.check("a@example.com", None)
        throttle.failed("a@example.com", None)
        clock.now += 1
    with pytest.raises(OverRequestRateLimit) as refused:
        throttle.check("a@example.com", None)
    throttle.check("b@example.com", None)
    clock.now += refused.value.retry_after_seconds
    throttle.check("a@example.com", None)


def test_an_address_that_tries_many_accounts_is_closed() -> None:
    throttle = Throttle(Clock())
    for number in range(PER_ADDRESS):
        throttle.failed(f"{number}@example.com", "203.0.113.1")
    with pytest.raises(OverRequestRateLimit):
        throttle.check("new@example.com", "203.0.113.1")
    throttle.check("new@example.com", "203.0.113.2")


def test_one_known_account_does_not_open_the_address() -> None:
    throttle = Throttle(Clock())
    for number in range(PER_ADDRESS):
        throttle.failed(f"{number}@example.com", "203.0.113.1")
        throttle.failed("mine@example.com", "203.0.113.1")
        throttle.succeeded("mine@example.com", "203.0.113.1")
    with pytest.raises(OverRequestRateLimit):
        throttle.check("mine@example.com", "203.0.113.1")


def test_memory_is_bounded_and_forgets_the_oldest() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for number in range(PER_ACCOUNT):
        throttle.failed("first@example.com", None)
        clock.now += number
    for number in range(10_000):
        throttle.failed(f"{number}@example.com", None)
    throttle.check("first@example.com", None)
    assert clock.now < 1000 + WINDOW_SECONDS
