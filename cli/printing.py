"""What is shown: for people on a terminal, JSON for programs.

Every text passes `cli.text` on its way out and nothing is ever read as markup, so that no text can say more than its letters.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cli.text import clean, escape_json, line

__all__ = ["Cell", "Part", "clean", "document", "documents", "err", "indented", "note", "out", "say", "styled", "table"]

Part = str | tuple[str, str]
"""Some text, or some text and the style it is shown in."""
Cell = str | int | Text | None

out = Console(highlight=False, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, markup=False, emoji=False)


def styled(*parts: Part) -> Text:
    """Cleaned text in styles of ours."""
    text = Text()
    for part in parts:
        plain, style = (part, "") if isinstance(part, str) else part
        text.append(clean(plain), style)
    return text


def say(*parts: Part) -> None:
    """Tell a person; the terminal itself breaks what is too long, so that it can be copied whole."""
    out.print(styled(*parts), soft_wrap=True)


def note(*parts: Part) -> None:
    """Tell a person beside the output."""
    err.print(styled(*parts), soft_wrap=True)


def indented(text: str, style: str = "", *, by: int = 2) -> None:
    """Somebody else's text: never in the first column, where ours stands, so that it cannot pass for it."""
    out.print(Padding(Text(clean(text), style), (0, 0, 0, by)))


def document(value: Any) -> None:
    """One JSON document: its values exactly, spread over lines only for a person."""
    _write(value, indent=2 if sys.stdout.isatty() else None)


def documents(values: Iterable[Any]) -> None:
    """JSON documents as they come, each on one line."""
    for value in values:
        _write(value, indent=None)


def _write(value: Any, indent: int | None) -> None:
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    sys.stdout.write(escape_json(json.dumps(value, indent=indent, ensure_ascii=not unicode)) + "\n")
    sys.stdout.flush()


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """A table for people."""
    grid = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*(cell if isinstance(cell, Text) else Text(line("" if cell is None else str(cell))) for cell in row))
    out.print(grid)
