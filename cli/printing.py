"""What is shown: for people on a terminal, JSON for machines.

Text that users or agents wrote is data: control characters never reach a terminal.
"""

import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.client import Json

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

COLOURS = {
    "succeeded": "green",
    "failed": "red",
    "timed_out": "red",
    "cancelled": "yellow",
    "awaiting_approval": "magenta",
    "running": "cyan",
}


def clean(text: str) -> str:
    """Text without what moves a cursor, hides or reorders: control and format characters but tab and newline (CVE-2021-42574)."""
    return "".join(
        char if char in "\t\n" or unicodedata.category(char) not in {"Cc", "Cf", "Cs"} else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def shown(text: Any) -> str:
    """User-written text for a rich console: cleaned, and never read as markup."""
    return escape(clean(str(text)))


def document(value: Any) -> None:
    """One JSON document."""
    sys.stdout.write(json.dumps(value, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table for people."""
    grid = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*(cell if isinstance(cell, str) and cell.startswith("[") else shown(cell) for cell in row))
    out.print(grid)


def state(name: str) -> str:
    """A task's state in its colour."""
    colour = COLOURS.get(name)
    return f"[{colour}]{shown(name)}[/{colour}]" if colour else f"[default]{shown(name)}[/default]"


def task(view: Json) -> None:
    """One task for a person."""
    out.print(f"[bold]{shown(view['title'])}[/bold]  {state(view['state'])}")
    facts = {
        "task": view["id"],
        "agent": view["agent"],
        "branch": view.get("branch"),
        "commit": view.get("commit_sha"),
        "outcome": view.get("outcome"),
    }
    usage: Json = view.get("usage") or {}
    if usage.get("requests"):
        facts["cost"] = f"${usage['cost_usd']:.4f} ({usage['input_tokens']} in, {usage['output_tokens']} out)"
    change: Json = view.get("change") or {}
    if change:
        facts["change"] = f"{change['files']} files, +{change['additions']} -{change['deletions']}"
        if change.get("protected_files"):
            facts["protected"] = f"{change['protected_files']} files that CI or review rules depend on"
    for name, value in facts.items():
        if value:
            out.print(f"  {name:<10}{shown(value)}")
    if failure := view.get("failure"):
        out.print(f"  [red]{shown(failure['message'])}[/red] {shown(failure['advice'])}")
    if view["state"] == "awaiting_approval":
        short = view["id"][:8]
        out.print(f"  Look at it: ./async-code task diff {short}    then: ./async-code task approve {short}")


def output(event: Json) -> None:
    """One thing an agent said or did."""
    text, kind = shown(event.get("text", "")), event.get("kind")
    if kind == "tool_call":
        out.print(f"[cyan]→ {shown(event.get('name', ''))}[/cyan] {text}")
    elif kind == "tool_result":
        out.print(f"[dim]{text}[/dim]")
    elif kind == "status":
        out.print(f"[blue]· {text}[/blue]")
    elif text:
        out.print(text)


def diff(patch: bytes) -> None:
    """A patch in colours."""
    colours = {"+": "green", "-": "red", "@": "cyan", "d": "bold", "i": "dim"}
    for line in clean(patch.decode(errors="replace")).splitlines():
        colour = colours.get(line[:1])
        out.print(f"[{colour}]{escape(line)}[/{colour}]" if colour else escape(line), soft_wrap=True)
