"""Whether a message is the answer to somebody's Direct Get, and so not from where its subject says. The second line of defence.

A Direct Get is answered to whatever reply subject the asker names, by the server itself and so past the asker's permissions (verified on
nats-server 2.15.1). The first line is that each service has an account of its own, where such an answer reaches only what the asker may
publish anyway (`deploy/nats/borders.py`). It must stay the first: an answer can be asked for without the headers looked at here.

Whoever receives a message refuses one with those headers, and whoever reads a stored one refuses a doubled set. The audit service does
neither: what a service forged is what the trail is for. See decision 0006.
"""

from collections.abc import Mapping

from shared.bus.client import REPEATED_ORIGIN

_MARK = "nats-stream"


def forged(headers: Mapping[str, str] | None) -> bool:
    """Whether a delivered message is the answer to somebody's Direct Get."""
    return headers is not None and any(name.lower() == _MARK for name in headers)


def stored_forged(headers: Mapping[str, str] | None) -> bool:
    """The same of a message that we read by Direct Get ourselves: the marks are there anyway, and twice when it was forged."""
    return headers is not None and REPEATED_ORIGIN in headers
