import io
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cli import failing, printing, review, views
from cli.exits import CliError

from .test_text import HOSTILE, harmless

MARKUP = "[red]not red[/red] [link=https://evil.example]x[/link] :warning: [/]\\"
TASK = {
    "id": "3f2a0000-0000-4000-8000-000000000001",
    "title": "Fix it",
    "state": "awaiting_approval",
    "agent": "claude-code",
    "model": None,
    "branch": "async-code/3f2a-fix-it",
    "commit_sha": None,
    "outcome": None,
    "change": {"files": 2, "additions": 5, "deletions": 1, "protected_files": 1, "held_reason": "protected_paths"},
    "usage": {"requests": 3, "cost_usd": 0.25, "input_tokens": 5000, "output_tokens": 100},
    "created_at": "2026-11-22T12:00:00Z",
    "started_at": "2026-11-22T12:00:01Z",
    "ended_at": "2026-11-22T12:00:13.500000Z",
}


def shown(show: Callable[..., object], *given: Any) -> str:
    with io.StringIO() as stream, redirect_stdout(stream), redirect_stderr(stream):
        show(*given)
        return stream.getvalue()


@given(HOSTILE)
def test_no_text_reaches_a_person_raw(text: str) -> None:
    task = {**TASK, "title": text, "branch": text, "agent": text, "failure": {"message": text, "advice": text}}
    assert harmless(shown(views.task, task))
    for kind in ("message", "tool_call", "tool_result", "log", "status", "result", "else"):
        assert harmless(shown(views.Output().show, {"kind": kind, "text": text, "name": text}))
    assert harmless(shown(views.diff, text.encode(errors="surrogatepass")))
    file = {"path": text, "old_path": text, "status": text, "protected": True, "protected_by": text}
    assert harmless(shown(review.show, {**task, "id": text}, {"files": [file, {**file, "protected": False}], "tree_sha": text}))
    assert harmless(shown(printing.table, ["a"], [[text], [views.state(text)]]))
    assert harmless(shown(failing.report, CliError(text, text), []))
    assert harmless(shown(failing.report, CliError(text, text, problem={"detail": text}), ["--json"]))


@given(st.binary())
def test_a_patch_of_any_bytes_can_be_shown(patch: bytes) -> None:
    assert harmless(shown(views.diff, patch))


def test_markup_is_text() -> None:
    assert MARKUP in shown(views.task, {**TASK, "title": MARKUP})
    assert MARKUP in shown(views.Output().show, {"kind": "message", "text": MARKUP})
    assert MARKUP in shown(printing.table, ["a"], [[MARKUP]])
    assert MARKUP in shown(views.diff, f"+{MARKUP}\n".encode())
    assert MARKUP in shown(failing.report, CliError(MARKUP), [])


def test_an_agent_writes_in_no_first_column() -> None:
    said = shown(views.Output().show, {"kind": "message", "text": "● succeeded\n" + "long " * 200 + "\n● failed"})
    assert all(not line or line.startswith("  ") for line in said.split("\n"))


def test_the_last_word_is_not_said_twice() -> None:
    output = views.Output()
    assert "Done." in shown(output.show, {"kind": "message", "text": "Done."})
    assert shown(output.show, {"kind": "result", "text": "Done."}) == ""
    assert "Other" in shown(output.show, {"kind": "result", "text": "Other"})


def test_long_things_are_cut_and_say_so() -> None:
    result = shown(views.Output().show, {"kind": "tool_result", "text": "\n".join(map(str, range(100)))})
    assert "… 88 more lines" in result
    assert "more characters" in shown(views.diff, b"+" + b"x" * 100_000)


def test_a_task_says_what_matters() -> None:
    text = shown(views.task, TASK)
    for part in (
        "Fix it  awaiting approval",
        "2 files, +5 -1, 1 protected file among them",
        "it touches files that CI or review rules depend on",
        "$0.2500 (5,000 tokens in, 100 out)",
        "12.5 s",
        "./async-code task approve 3f2a0000",
    ):
        assert part in text
    failed = shown(views.task, {**TASK, "state": "failed", "failure": {"message": "It broke.", "advice": "Mend it."}})
    assert "It broke." in failed
    assert "Mend it." in failed
    assert "approve" not in failed
    assert "publish" not in failed
    kept = shown(views.task, {**TASK, "state": "failed", "kept": {"tree_sha": "a" * 40, "expires_at": "2026-12-01T12:00:00Z"}})
    assert "what it made, not published; until 2026-12-0" in kept
    assert "./async-code task publish 3f2a0000" in kept
    assert "./async-code task discard 3f2a0000" in kept


def test_an_answer_without_the_optional_parts_is_shown_too() -> None:
    assert "submitted" in shown(views.task, {"id": "3f2a", "state": "submitted"})


def test_binary_content_is_named_and_the_next_file_is_shown() -> None:
    patch = (
        b"diff --git a/x b/x\nnew file mode 100644\nindex 0000..1111\n"
        b"GIT binary patch\nliteral 2\nKcmZQzWMT#Y01f~L\n\nliteral 0\nHcmV?d00001\n\n"
        b"diff --git a/y b/y\n--- a/y\n+++ b/y\n@@ -1 +1 @@\n-GIT binary patch\n+b\n"
    )
    text = shown(views.diff, patch)
    assert "(binary content)" in text
    assert "KcmZQz" not in text
    assert text.endswith("@@ -1 +1 @@\n-GIT binary patch\n+b\n")


def test_a_review_lists_every_protected_file_with_its_pattern_and_cuts_the_others() -> None:
    plain = [{"path": f"src/{n}.py", "status": "modified", "additions": 1, "deletions": 0} for n in range(200)]
    guarded = [
        {"path": f".github/workflows/{n}.yml", "status": "added", "protected": True, "protected_by": ".github/workflows/**"}
        for n in range(150)
    ]
    view = {**TASK, "change": {"files": 351, "additions": 5, "deletions": 1, "protected_files": 151}}
    text = shown(review.show, view, {"files": [*plain, *guarded], "tree_sha": "b" * 40, "truncated": True})
    assert text.count(" matches .github/workflows/**") == 150
    assert text.count("src/") == 100
    for part in (
        "351 files, +5 -1",
        "… and more: ./async-code task diff 3f2a0000",
        "150 protected files",
        "1 more protected than",
        "b" * 40,
    ):
        assert part in text
