"""Whether a message came from where its subject says.

Permissions alone do not tell (verified on nats-server 2.15.1): a Direct Get is answered to whatever reply subject the asker names, by
the server itself and so past the asker's permissions. Who may write one stream and read it could thus have its own bytes delivered as
a question, or stored as a command. Such a message carries the headers of the answer to a Direct Get, which the asker cannot take off:
so whoever receives a message refuses one with those headers, and whoever reads a stored one refuses a doubled set. See decision 0006.
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
