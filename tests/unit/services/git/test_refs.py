import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.git import refs
from services.git.errors import PushRefused, RefNotFound


@pytest.mark.parametrize("name", ["main", "feature/a", "v1.0", "async-code/0a1b2c3d-fix-it", "grün", "a" * 200])
def test_names_of_branches(name: str) -> None:
    assert refs.is_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-x",
        "a..b",
        "a b",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "a*",
        "a[",
        "a\\b",
        "a@{1}",
        "@",
        "/a",
        "a/",
        "a//b",
        ".a",
        "a/.b",
        "a.lock",
        "a.",
        "a\n",
        "a\x7f",
        "a\u202eb",
        "a" * 300,
    ],
)
def test_what_is_no_name(name: str) -> None:
    assert not refs.is_name(name)
    with pytest.raises(PushRefused):
        refs.branch(name)
    with pytest.raises(RefNotFound):
        refs.wanted(name)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab./-@{~^:*[\\ \n\t?lock"), min_size=1, max_size=12))
def test_git_agrees_with_every_name_we_accept(name: str) -> None:
    if refs.is_name(name):
        subprocess.run(["git", "check-ref-format", f"refs/heads/{name}"], check=True)  # noqa: S607


def test_where_a_base_is_looked_for() -> None:
    assert refs.wanted(None) == ("HEAD",)
    assert refs.wanted("main") == ("refs/heads/main", "refs/tags/main")
    assert refs.wanted("refs/tags/v1") == ("refs/tags/v1",)
