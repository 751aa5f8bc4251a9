"""What crosses between accounts: the lists of `topology`, in the words of the server's configuration. Nothing is decided here.

A service lives in an account of its own. What it may publish is imported from where it is stored or answered, what it may hear from those
who publish it. So an answer that the server sends to a subject of the asker's choice stays at home: it can go where the asker may publish,
and nowhere else. In one account for all it reached every subject, the API that deletes streams included (verified: decision 0006).
"""

from typing import Any

from deploy.nats import topology
from deploy.nats.topology import Account, UserSpec
from shared.bus.streams import API

Border = dict[str, list[dict[str, Any]]]
"""The `exports` and `imports` of an account."""

_SERVER_API = "$JS.API"
_ADVISORIES = "$JS.EVENT.ADVISORY."
_QUESTIONS = "rpc."
_ANSWERED_OFTEN = (f"{_SERVER_API}.DIRECT.GET.", f"{_SERVER_API}.CONSUMER.MSG.NEXT.")
_ONE = dict[str, str]()
_SEVERAL = {"response_type": "stream"}
_SEVERAL_SOON = _SEVERAL | {"response_threshold": "10s"}
"""The server keeps the way back for further answers so long, in about 3 kB each (verified): twice as long as the bus waits for one."""


def borders() -> dict[str, Border]:
    """Every account of the server, with what it lets out and in."""
    found: dict[str, Border] = {name: {"exports": [], "imports": []} for name in (*Account, *(user.home for user in topology.USERS))}
    _let_mirrors_through(found)
    for user in topology.USERS:
        if not user.provisions:
            for subject in user.publish:
                _let_publish(found, user, subject)
            for subject in user.subscribe:
                _let_hear(found, user, subject)
    return found


def _let_mirrors_through(found: dict[str, Border]) -> None:
    # Narrow on purpose: with all of $JS.API.CONSUMER exported, AUDIT could delete APP's consumers (verified).
    # Per stream for the same reason: a consumer on a blob stream is none of AUDIT's business. Both forms of the call are used.
    for stream in topology.mirrored():
        for call in (f"CONSUMER.CREATE.{stream}", f"CONSUMER.CREATE.{stream}.>"):
            _service(
                found, Account.APP, Account.AUDIT, f"{_SERVER_API}.{call}", seen_as=f"{topology.MIRRORED_API}.{call}", answers=_SEVERAL
            )
    _service(found, Account.APP, Account.AUDIT, "$JS.FC.>", seen_as="$JS.FC.>", answers=_ONE)
    _stream(found, Account.APP, Account.AUDIT, f"{topology.DELIVER}.>")


def _let_publish(found: dict[str, Border], user: UserSpec, subject: str) -> None:
    owner = _answerer(subject).home if subject.startswith(_QUESTIONS) else user.account
    offered = subject.replace(API, _SERVER_API, 1) if subject.startswith(f"{API}.") else subject
    answers = _SEVERAL_SOON if offered.startswith(_ANSWERED_OFTEN) else _ONE
    _service(found, owner, user.home, offered, seen_as=subject, answers=answers)


def _let_hear(found: dict[str, Border], user: UserSpec, subject: str) -> None:
    """From each who publishes it: the server does not pass on as a stream what came as a service (verified)."""
    if subject.startswith(_ADVISORIES):
        _stream(found, user.account, user.home, subject)
    for other in topology.USERS:
        for published in other.publish:
            if other.home != user.home and not published.startswith(_QUESTIONS) and covers(subject, published):
                _stream(found, other.home, user.home, published)


def _answerer(question: str) -> UserSpec:
    return next(user for user in topology.USERS if any(covers(heard, question) for heard in user.subscribe))


def covers(wide: str, narrow: str) -> bool:
    """Whether the pattern `wide` takes in all of `narrow`. Patterns here have no wildcard but `>` at the end and whole tokens `*`."""
    if not wide.endswith(".>"):
        return wide == narrow
    return narrow.startswith(wide.removesuffix(">"))


def _service(found: dict[str, Border], owner: str, user: str, subject: str, *, seen_as: str, answers: dict[str, str]) -> None:
    _export(found, owner, user, {"service": subject} | answers)
    renamed = {"to": seen_as} if seen_as != subject else {}
    found[user]["imports"].append({"service": {"account": owner, "subject": subject}} | renamed)


def _stream(found: dict[str, Border], owner: str, user: str, subject: str) -> None:
    _export(found, owner, user, {"stream": subject})
    found[user]["imports"].append({"stream": {"account": owner, "subject": subject}})


def _export(found: dict[str, Border], owner: str, user: str, what: dict[str, Any]) -> None:
    for export in found[owner]["exports"]:
        if export.items() >= what.items():
            export["accounts"].append(user)
            return
    found[owner]["exports"].append(what | {"accounts": [user]})
