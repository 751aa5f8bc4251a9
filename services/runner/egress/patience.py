"""Waits out what an agent would take for the end: Codex never asks again after a 429. Pure; one of these for each request.

The waits are bounded, so that an overloaded vendor still ends the run, and what the vendor says about when to come back is honoured.
"""

from collections.abc import Mapping

from services.runner.egress.vendors.vendor import Vendor

TRIES = 7
MOST_SECONDS = 90.0
"""Of one request, in all: its agent waits for the first byte meanwhile (Codex: for 300 s)."""
_FIRST_SECONDS, _LEAST_SECONDS = 1.0, 0.1
_MILLISECONDS = 1_000


class Patience:
    """What is left of it, for one request."""

    def __init__(self, vendor: Vendor) -> None:
        self._vendor = vendor
        self._left_seconds = MOST_SECONDS
        self._waited = 0

    def seconds(self, meaning: int, headers: Mapping[str, str]) -> float | None:
        """How long to wait before the same is asked again; None when this answer has to stand."""
        if meaning not in self._vendor.waited_out or self._waited + 1 >= TRIES:
            return None
        said = _said(headers)
        doubled = 2**self._waited
        pause = _FIRST_SECONDS * doubled if said is None else max(said, _LEAST_SECONDS * doubled)
        if pause > self._left_seconds:
            return None
        self._waited += 1
        self._left_seconds -= pause
        return pause


def _said(headers: Mapping[str, str]) -> float | None:
    """RFC 9110 §10.2.3, in seconds; a date is not read. Vendors also say it in milliseconds."""
    for name, unit in (("retry-after-ms", _MILLISECONDS), ("retry-after", 1)):
        text = headers.get(name, "")
        if text.isascii() and text.isdecimal():
            return int(text[:9]) / unit
    return None
