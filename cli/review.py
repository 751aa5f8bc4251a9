"""A change before it is pushed, for the person who decides: its files, and every one that waits for them, with why."""

from typing import Any, cast

from cli import printing
from cli.client import Json
from cli.text import count, line

_MAX_LISTED = 100
_MARKS = {
    "added": ("A", "green"),
    "deleted": ("D", "red"),
    "renamed": ("R", "cyan"),
    "copied": ("C", "cyan"),
    "type_changed": ("T", "yellow"),
}


def show(view: Json, changes: Json) -> None:
    """The diffstat; protected files come last, where they are read, all of them, each with the pattern it meets."""
    files = [cast("Json", file) for file in cast("list[Any]", changes.get("files") or []) if isinstance(file, dict)]
    protected = [file for file in files if file.get("protected")]
    others = [file for file in files if not file.get("protected")]
    for file in others[:_MAX_LISTED]:
        _file(file)
    if len(others) > _MAX_LISTED or changes.get("truncated"):
        printing.say(f"  … and more: ./async-code task diff {line(str(view['id']))[:8]}")
    change: Json = view.get("change") or {}
    if change:
        printing.say(f"  {count(int(change['files']), 'file')}, +{change['additions']} -{change['deletions']}")
    if protected:
        printing.say(
            (
                f"{count(len(protected), 'protected file')}: CI, hooks or reviews obey them, some with the repository's secrets",
                "bold magenta",
            )
        )
        for file in protected:
            _file(file, by=str(file.get("protected_by") or ""))
    listed = int(change.get("protected_files") or 0)
    if listed > len(protected):
        printing.say((f"{listed - len(protected)} more protected than can be listed", "bold magenta"))
    printing.say("branch ", (line(str(view.get("branch") or "")), "bold"), "  tree ", line(str(changes.get("tree_sha") or "")))


def _file(file: Json, by: str | None = None) -> None:
    mark, style = _MARKS.get(str(file.get("status")), ("M", ""))
    old = f"{line(str(file['old_path']))} → " if file.get("old_path") else ""
    path = (old + line(str(file.get("path")), 400), "bold magenta" if by is not None else "")
    counts = f"  +{file.get('additions', 0)} -{file.get('deletions', 0)}"
    printing.say("  ", (mark, style), " ", path, (counts, "dim"), *((f"  matches {line(by)}",) if by else ()))
