"""Every question of `make bench` can still be asked and gives a whole answer. No time is judged here."""

import json
import math
from pathlib import Path

from benchmarks import line, page
from benchmarks.__main__ import QUICK, of_parts, of_stack, tried
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
    answers = [ask() for ask in of_stack(stack, git_server, QUICK, print).values()]
    assert [answer.name for answer in answers] == ["line", "memory"]
    for answer in answers:
        _whole(answer)
    assert {row["process"] for row in answers[1].rows} >= {"nats", "postgres", "gateway", "scheduler", "git", "runner", "audit", "all"}


def test_the_question_of_cold_starts(git_server: GitServer) -> None:
    answer = line.cold(git_server, QUICK.cold_tasks, print)
    _whole(answer)
    assert "runner takes the command → agent process" in {row["what"] for row in answer.rows}


def test_a_question_that_fails_takes_no_others_answer_with_it(tmp_path: Path) -> None:
    def failing() -> Answer:
        raise RuntimeError("the disk is full of secrets")

    said = list[str]()
    good = Answer("trail", "How?", "So.", ({"what": "it", "ms": 1.5, LOAD: 0.1},))
    answers = [tried("blobs", failing, said.append), tried("trail", lambda: good, said.append)]
    assert [bool(answer.rows) for answer in answers] == [False, True]
    assert "the disk is full of secrets" in said[0]
    (tmp_path / "performance.md").write_text(f"{page.BEGIN}\n{page.END}\n")
    page.write(tmp_path, {"machine": "this one"}, answers)
    written = (tmp_path / "performance.md").read_text()
    assert "It failed: RuntimeError.\n\nNot answered." in written
    assert "| it | 1.50 |" in written
    assert "secrets" not in written


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
