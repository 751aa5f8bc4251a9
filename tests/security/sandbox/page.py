"""The table of what was tried, as it stands in docs/security.md."""

import json
from pathlib import Path

from tests.security.sandbox.probes import OPEN, Group, Probe

BEGIN = "<!-- begin: python -m tests.security.sandbox -->"
END = "<!-- end: python -m tests.security.sandbox -->"
ANSWERS = Path(__file__).with_name("answers.json")
DOCUMENT = Path(__file__).parents[3] / "docs/security.md"

_NOT_IN_THIS_KERNEL = frozenset({"EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT"})
"""The filter let it through, and another kernel would have done it."""
_CLOSED = frozenset(
    """EPERM EACCES ENOSYS EROFS ENOENT ENXIO ENETUNREACH ECONNREFUSED EADDRNOTAVAIL SIGSYS none limited""".split()  # noqa: SIM905 - reads better
)

Recorded = dict[str, dict[str, dict[str, str]]]


def recorded() -> Recorded:
    """The answers that were last seen, and what gave them."""
    return json.loads(ANSWERS.read_text())


def table(groups: tuple[Group, ...], answers: Recorded) -> str:
    """The rows, group by group."""
    seen = answers["seen"]["with"]
    lines = [BEGIN, f"As seen with Docker {seen['engine']} on Linux {seen['kernel']}."]
    for group in groups:
        lines += ["", f"**{group.title}**", "", "| tried | our sandbox | Docker's defaults | why it matters |", "|---|---|---|---|"]
        lines += [_row(probe, answers) for probe in group.probes]
    kept = [f"- **{probe.name}**: {probe.open_because}." for group in groups for probe in group.probes if probe.open_because]
    return "\n".join([*lines, "", "What stays open, and why:", *kept, END])


def rewritten(document: str, new: str) -> str:
    """The document with its table replaced."""
    before, _, rest = document.partition(BEGIN)
    return before + new + rest.partition(END)[2]


def _row(probe: Probe, answers: Recorded) -> str:
    ours = "open (below)" if probe.open_because else "closed"
    return f"| {probe.name} | {ours} | {_verdict(answers['docker'][probe.name])} | {probe.why} |"


def _verdict(answers: dict[str, str]) -> str:
    through = {attempt: answer for attempt, answer in answers.items() if answer not in _CLOSED}
    waiting = [attempt for attempt, answer in through.items() if answer in _NOT_IN_THIS_KERNEL]
    opened = [attempt if answer == OPEN or "of" not in answer else answer for attempt, answer in through.items() if attempt not in waiting]
    said = [f"**open**: {', '.join(opened)}"] if opened else []
    said += [f"allowed, not in this kernel: {', '.join(waiting)}"] if waiting else []
    return "; ".join(said) or "closed"
