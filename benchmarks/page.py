"""Turns answers into `docs/performance.md` (between its markers; the rest is written by hand) and `docs/performance.json`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.figures import Answer, Value

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def rendered(machine: Mapping[str, str], answers: Sequence[Answer]) -> str:
    """The generated part as Markdown."""
    parts = ["\n".join(f"- {name}: {value}" for name, value in machine.items())]
    parts += [f"### {answer.question}\n\n{answer.method}\n\n{_table(answer)}" for answer in answers]
    return "\n\n".join(parts)


def write(directory: Path, machine: Mapping[str, str], answers: Sequence[Answer]) -> None:
    """Replace the generated part of the page, and the JSON beside it."""
    page = directory / "performance.md"
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{rendered(machine, answers)}\n{END}{after}")
    (directory / "performance.json").write_text(document(machine, answers))


def document(machine: Mapping[str, str], answers: Sequence[Answer]) -> str:
    """The same for programs, with all digits."""
    return json.dumps({"machine": machine, "answers": [asdict(answer) for answer in answers]}, indent=1, ensure_ascii=False) + "\n"


def _table(answer: Answer) -> str:
    if not answer.rows:
        return "Not answered."
    columns = list(answer.rows[0])
    lines = [columns, ["---"] * len(columns), *([_cell(row[column]) for column in columns] for row in answer.rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _cell(value: Value) -> str:
    """Three digits that count."""
    if value is None:
        return ""
    if isinstance(value, float):
        digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
        return f"{value:,.{digits}f}"
    return f"{value:,}" if isinstance(value, int) else value
