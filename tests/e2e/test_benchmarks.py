"""Every question of `make bench` can still be asked and gives a whole answer. No time is judged here."""

import json
import math
from pathlib import Path

from benchmarks import page
from benchmarks.__main__ import QUICK, of_parts, of_stack
from benchmarks.figures import LOAD, Answer
from tests.servers.git import GitServer
from tests.servers.stack import Stack


def _whole(answer: Answer) -> None:
    assert answer.question
    assert answer.method
    assert answer.rows
    columns = list(answer.rows[0])
    assert LOAD in columns
    for row in answer.rows:
        assert list(row) == columns
        figures = [value for name, value in row.items() if isinstance(value, float) and name != LOAD]
        assert figures, row
        assert all(math.isfinite(figure) for figure in figures), row


def test_the_questions_of_the_whole_stack(stack: Stack, git_server: GitServer) -> None:
    answers = list(of_stack(stack, git_server, QUICK, print))
    assert [answer.name for answer in answers] == ["line", "memory"]
    for answer in answers:
        _whole(answer)
    assert {row["process"] for row in answers[1].rows} >= {"nats", "postgres", "gateway", "scheduler", "git", "runner", "audit", "all"}


def test_the_questions_of_the_parts_and_the_page(tmp_path: Path) -> None:
    answers = [ask() for ask in of_parts(QUICK, print).values()]
    for answer in answers:
        _whole(answer)
    (tmp_path / "performance.md").write_text(f"by hand\n{page.BEGIN}\nearlier figures\n{page.END}\nmore by hand\n")
    page.write(tmp_path, {"machine": "this one"}, answers)
    written = (tmp_path / "performance.md").read_text()
    assert written.startswith("by hand\n")
    assert written.endswith("more by hand\n")
    assert "earlier figures" not in written
    assert written.count("### ") == len(answers)
    assert [each["name"] for each in json.loads((tmp_path / "performance.json").read_text())["answers"]] == [each.name for each in answers]
