from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.git import commits
from services.git.commits import MAX_SUBJECT, Provenance
from shared.events.ids import RunId, TaskId

RUN, TASK = RunId("11111111-1111-4111-8111-111111111111"), TaskId("22222222-2222-4222-8222-222222222222")


@pytest.mark.parametrize(
    ("title", "line"),
    [
        ("Fix the test", "Fix the test"),
        ("  a\n\nAgent: forged\r\n", "a Agent: forged"),
        ("a\x00b\x1b[31mc", "a b [31mc"),
        ("evil \u202egnp.exe", "evil gnp.exe"),
        ("a\u2028b", "a b"),
        ("", "Change by shell"),
        ("\n\t", "Change by shell"),
        ("x" * 100, "x" * 71 + "…"),
        ("grüße 🎉", "grüße 🎉"),
    ],
)
def test_a_title_becomes_one_plain_line(title: str, line: str) -> None:
    assert commits.subject(title, "shell") == line


@given(st.text(max_size=200))
def test_no_title_breaks_the_message(title: str) -> None:
    line = commits.subject(title, "shell")
    assert 0 < len(line) <= MAX_SUBJECT
    assert line.isprintable() or all(character.isprintable() or character.isspace() or ord(character) > 127 for character in line)
    assert "\n" not in line
    line.encode()
    message = commits.message(Provenance(title, "shell", TASK, RUN, datetime.now(UTC)))
    assert message.split("\n")[1:] == ["", "Agent: shell", f"Async-Code-Task: {TASK}", f"Async-Code-Run: {RUN}", ""]
