import re

from hypothesis import example, given
from hypothesis import strategies as st

from services.gateway.branches import MAX_SLUG_CHARS, branch, slug
from services.gateway.repositories import refs
from shared.events.ids import TaskId

TASK = TaskId("0a1b2c3d-0000-4000-8000-000000000000")


@given(st.text())
@example("--- -x")
@example("..")
@example("Ünïcode: straße → ☃")
@example("a" * 200)
@example("a" * 39 + " b")
def test_any_title_gives_a_name_git_takes(title: str) -> None:
    name = branch(TASK, title)
    assert re.fullmatch(r"async-code/0a1b2c3d(-[a-z0-9]+)*", name)
    assert len(slug(title)) <= MAX_SLUG_CHARS
    assert refs.check(name) == name


def test_a_title_can_be_recognised() -> None:
    assert branch(TASK, "Fix the flaky login test (#42)!") == "async-code/0a1b2c3d-fix-the-flaky-login-test-42"
    assert branch(TASK, "Größe prüfen") == "async-code/0a1b2c3d-groe-prufen"
    assert branch(TASK, "修复") == "async-code/0a1b2c3d"
