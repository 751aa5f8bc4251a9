"""What the door saw of the model API, as the code of a failure that a person can act on; the same for every agent. No I/O.

An agent's own words about its API are not asked: they can be forged, and every agent has others.
"""

from collections.abc import Mapping

from services.runner.doors import Spending

_BY_TROUBLE: Mapping[str, str] = {
    "unreachable": "model_unreachable",
    "broke_off": "model_broke_off",
    "not_the_api": "model_not_understood",
}
"""By `Spending.trouble`: what no status of the API's own tells."""

_BY_STATUS: Mapping[int, str] = {
    401: "model_auth",
    402: "model_credit",
    403: "model_forbidden",
    404: "model_unknown",
    408: "model_overloaded",
    429: "model_rate_limited",
}
_SERVER_ERRORS = 500  # RFC 9110 §15.6; vendors also have 529


def failure_of(spending: Spending) -> str | None:
    """The code of the API's last failure that no success followed; None where there is none."""
    if spending.trouble in _BY_TROUBLE:
        return _BY_TROUBLE[spending.trouble]
    status = spending.upstream_status
    if status == 0:
        return None
    return _BY_STATUS.get(status) or ("model_overloaded" if status >= _SERVER_ERRORS else "model_request_refused")


def unasked(spending: Spending) -> str | None:
    """The code of an end that an agent calls good without one answer of its model; None where there was one, or where nobody knows."""
    if spending.answers != 0:
        return None
    return failure_of(spending) or "model_not_asked"


def idleness_of(spending: Spending, idle_seconds: float) -> str:
    """Who was silent when the agent said nothing for `idle_seconds`: a model that let it wait for most of them, or the agent itself.

    An agent that waits before it asks a failing API again is silent as well: then it is the API's failure.
    """
    if spending.silent_seconds >= idle_seconds / 2:
        return "model_silent"
    return failure_of(spending) or "idle_time"
