"""Makes the commit: the same work gives the same SHA, however often and on whichever replica it is done."""

import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime

from services.git.command import Git
from services.git.takein import Taken
from shared.events.ids import RunId, TaskId

MAX_SUBJECT = 72
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # CVE-2021-42574: text that reads otherwise
_DROPPED = frozenset({"Cc", "Cs", "Zl", "Zp", "Co", "Cn"})


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the commit names as author and committer: the operator's setting, never the user's words."""

    name: str
    email: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a commit comes from: becomes its message and dates."""

    title: str
    agent: str
    task_id: TaskId | str
    run_id: RunId
    authored_at: datetime


def subject(title: str, agent: str) -> str:
    """The title as one line a person can trust: no control or direction characters, at most 72 characters, never empty."""
    spaced = "".join(" " if unicodedata.category(char) in _DROPPED else char for char in title if char not in _BIDI)
    line = " ".join(spaced.split())
    if len(line) > MAX_SUBJECT:
        line = line[: MAX_SUBJECT - 1].rstrip() + "…"
    return line or f"Change by {agent}"


def message(provenance: Provenance) -> str:
    """Subject and trailers. The agent is named by a trailer of its own: it is no person and has no address."""
    return (
        f"{subject(provenance.title, provenance.agent)}\n\n"
        f"Agent: {provenance.agent}\nAsync-Code-Task: {provenance.task_id}\nAsync-Code-Run: {provenance.run_id}\n"
    )


async def commit(git: Git, taken: Taken, provenance: Provenance, identity: Identity) -> str:
    """The SHA of the commit of the taken tree on its base."""
    authored_at = provenance.authored_at
    moment = authored_at if authored_at.tzinfo is not None else authored_at.replace(tzinfo=UTC)
    date = f"@{int(moment.timestamp())} +0000"
    who = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", identity.name), ("EMAIL", identity.email), ("DATE", date))
    }
    done = await git.run(
        "commit-tree", taken.tree_sha, "-p", taken.base_sha, "-F", "-",
        repository=taken.repository, stdin=message(provenance).encode(), environment=who, config=("i18n.commitEncoding=UTF-8",),
    )  # fmt: skip
    return done.required().text
