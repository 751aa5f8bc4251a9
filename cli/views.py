"""Tasks, what agents say, and patches, as a person sees them."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, cast

from rich.text import Text

from cli import printing
from cli.client import Json
from cli.exits import WAITING
from cli.text import block, clean, count, cut, line

_STYLES = {
    "succeeded": "green",
    "failed": "red",
    "timed_out": "red",
    "cancelled": "yellow",
    "awaiting_approval": "magenta",
    "awaiting_budget": "magenta",
    "running": "cyan",
}
_HELD = {
    "policy": "the project asks for every change",
    "protected_paths": "it touches files that CI or review rules depend on",
    "by_hand": "you publish it by hand",
}

_BUDGETS = {
    "run": "the run's cost limit",
    "task": "the task's budget",
    "project": "the project's budget for this month",
    "user": "your budget for this month",
}

_MAX_COLUMNS = 2_000
_MAX_LINES = 400
_MAX_RESULT_LINES = 12
"""What a tool said is for the agent; a person sees how it begins. `--json` has all of it."""


def state(name: str) -> Text:
    """A task's state in its colour."""
    return printing.styled((line(name.replace("_", " ")), _STYLES.get(name, "")))


def when(moment: str | None, form: str = "%Y-%m-%d %H:%M") -> str:
    """A time of the API in this machine's time zone."""
    try:
        return datetime.fromisoformat(moment or "").astimezone().strftime(form)
    except ValueError:
        return line(moment or "")


def task(view: Json) -> None:
    """One task for a person."""
    name = str(view.get("state", ""))
    printing.say((line(str(view.get("title", "")), 120), "bold"), "  ", (line(name.replace("_", " ")), _STYLES.get(name, "")))
    for label, value in _facts(view):
        printing.say(f"  {label:<9} ", line(value, 400))
    failure: Json = view.get("failure") or {}
    if failure:
        printing.say("  why       ", (line(str(failure.get("message", ""))), "red"))
        printing.say("            ", line(str(failure.get("advice", ""))))
    short = line(str(view.get("id", "")))[:8]
    if view.get("kept"):
        printing.say("  next      publish it:  ", (f"./async-code task publish {short}", "bold"), "  after a look at it")
        printing.say("            or not:      ", (f"./async-code task discard {short}", "bold"))
    if name == "awaiting_budget":
        printing.say("  next      raise it:    ", (f"./async-code task budget {short} USD", "bold"), "  what it may cost in all")
        printing.say("            or not:      ", (f"./async-code task reject {short}", "bold"), "  what it made is kept")
    elif name in WAITING:
        printing.say("  next      look at it:  ", (f"./async-code task diff {short}", "bold"))
        printing.say("            then:        ", (f"./async-code task approve {short}", "bold"), "  or reject it")


def _facts(view: Json) -> Iterator[tuple[str, str]]:
    yield "task", str(view["id"])
    yield "agent", " · ".join(str(part) for part in (view.get("agent"), view.get("model")) if part)
    yield "branch", str(view.get("branch") or "")
    if view.get("commit_sha"):
        yield "commit", str(view["commit_sha"])
    elif view.get("outcome") == "no_changes":
        yield "commit", "none: the agent changed nothing"
    yield from _change(view.get("change") or {})
    kept: Json = view.get("kept") or {}
    if kept:
        yield "kept", f"what it made, not published; until {when(kept.get('expires_at'))}"
    usage: Json = view.get("usage") or {}
    if usage.get("requests"):
        yield "cost", f"${usage['cost_usd']:.4f} ({usage['input_tokens']:,} tokens in, {usage['output_tokens']:,} out)"
    yield from _budget(view.get("budget") or {})
    if view.get("begins_anew"):
        yield "note", "its second run began on the clean base: nothing was left that it could go on from"
    for each in cast("list[Json]", view.get("refused") or []):
        reason, times = str(each.get("reason")).replace("_", " "), int(each.get("times") or 0)
        yield "refused", f"{each.get('ecosystem') or 'model'}: {reason} ({count(times, 'request')})"
    yield from _environment(view.get("environment") or {})
    yield "created", when(view.get("created_at"))
    if seconds := _seconds(view.get("started_at"), view.get("ended_at")):
        yield "took", seconds


def _environment(phase: Json) -> Iterator[tuple[str, str]]:
    """How the project's environment came into the sandbox."""
    state = phase.get("state")
    if state == "ready":
        came = "made before" if phase.get("cached") else "made by its script"
        yield "set up", f"{came}, {count(int(phase.get('size_bytes') or 0), 'byte')}, in place after {phase.get('seconds')} s"
    elif state:
        yield "set up", {"setting_up": "its script is at work", "failed": "failed; its log says more"}.get(str(state), str(state))


def _budget(budget: Json) -> Iterator[tuple[str, str]]:
    """Which budget it has reached, how much of it is spent, and until when it waits."""
    reached: Json = budget.get("reached") or {}
    if reached:
        which = _BUDGETS.get(str(reached.get("budget")), str(reached.get("budget")))
        yield "waits", f"{which} of ${reached.get('limit_usd')} is used up: ${reached.get('spent_usd')} spent"
        yield "until", when(budget.get("expires_at"))


def _change(change: Json) -> Iterator[tuple[str, str]]:
    if not change:
        return
    protected = int(change.get("protected_files") or 0)
    note = f", {count(protected, 'protected file')} among them" if protected else ""
    yield "change", f"{count(int(change['files']), 'file')}, +{change['additions']} -{change['deletions']}{note}"
    if reason := change.get("held_reason"):
        yield "waits", _HELD.get(str(reason), str(reason))


def _seconds(begun: Any, ended: Any) -> str:
    try:
        return f"{(datetime.fromisoformat(ended) - datetime.fromisoformat(begun)).total_seconds():.1f} s"
    except (TypeError, ValueError):
        return ""


class Output:
    """What an agent says and does, set in from the first column, where only we write."""

    def __init__(self) -> None:
        self._said = ""

    def show(self, event: Json) -> None:
        """One event. Agents end by saying their last message once more: it is shown once."""
        kind, text = str(event.get("kind", "")), str(event.get("text") or "")
        if kind != "result" or text != self._said:
            _output(event, kind, text)
        if kind == "message":
            self._said = text


def _output(event: Json, kind: str, given: str) -> None:
    if kind == "tool_call":
        printing.indented(f"→ {line(str(event.get('name', '')))} {block(given, lines=_MAX_RESULT_LINES, columns=_MAX_COLUMNS)}", "cyan")
    elif kind == "tool_result":
        printing.indented(block(given.rstrip("\n"), lines=_MAX_RESULT_LINES, columns=_MAX_COLUMNS), "dim", by=4)
    elif kind == "status":
        printing.indented(f"· {line(given)}", "blue")
    elif given and event.get("name") == "setup":
        printing.indented(block(given.rstrip("\n"), lines=_MAX_LINES, columns=_MAX_COLUMNS), "dim", by=4)
    elif given:
        printing.indented(block(given.rstrip("\n"), lines=_MAX_LINES, columns=_MAX_COLUMNS))


_LINE_STYLES = {"+": "green", "-": "red", "@": "cyan"}
_BINARY = "GIT binary patch"


def diff(patch: bytes) -> None:
    """A patch in colours. Lines are cut where nobody reads on, and say so; the exact bytes come with `> file`."""
    for text, style in _diff_lines(patch.decode(errors="replace").removesuffix("\n")):
        printing.say((cut(text, _MAX_COLUMNS), style))


def _diff_lines(patch: str) -> Iterator[tuple[str, str]]:
    header = binary = False
    for raw in patch.split("\n"):
        text = clean(raw)
        if text.startswith("diff --git "):
            header, binary = True, False
        elif text.startswith("@@"):
            header = binary = False
        elif binary:
            continue
        elif header and text == _BINARY:
            binary = True
            yield "(binary content)", "dim"
            continue
        yield text, "bold" if header else _LINE_STYLES.get(text[:1], "")
