import pytest

from services.git import trees
from services.git.errors import PackRefused
from services.git.trees import FILE, GITLINK, SYMLINK, TREE, Entry

SHA = "a" * 40


@pytest.mark.parametrize(
    "path",
    [
        b".git",
        b".GIT",
        b".git/config",
        b"sub/.git/hooks/x",
        b".g\xe2\x80\x8cit",
        b".git ",
        b".git.",
        b".git. .",
        b"git~1",
        b"GIT~1/config",
        b"git~2",
        b".git::$INDEX_ALLOCATION/config",
        b"a\\.git\\config",
        b"..\\x",
        b"a/../b",
        b"../x",
        b"./x",
        b"/etc/passwd",
        b"a//b",
        b"",
        b"x" * 256,
        b"/".join([b"d" * 200] * 30),
    ],
)
def test_names_that_lead_elsewhere_are_refused(path: bytes) -> None:
    with pytest.raises(PackRefused):
        trees.judge([Entry(FILE, SHA, path)], [])


@pytest.mark.parametrize(
    "path", [b".gitignore", b".github/x", b"a.git/b", b"...", b"caf\xc3\xa9 x", b"\xff\xfe", b"a\\b", b"git~x", b"-rf", b"a\nb"]
)
def test_odd_but_honest_names_pass(path: bytes) -> None:
    trees.judge([Entry(FILE, SHA, path)], [])


@pytest.mark.parametrize("mode", [b"100664", b"100000", b"040755", b"000000", b"120777"])
def test_unknown_modes_are_refused(mode: bytes) -> None:
    with pytest.raises(PackRefused):
        trees.judge([Entry(mode, SHA, b"a")], [])


def test_what_the_base_always_held_is_not_judged() -> None:
    old = Entry(b"100664", SHA, b"git~1")
    trees.judge([old, Entry(FILE, SHA, b"new")], [old])


@pytest.mark.parametrize("second", [Entry(FILE, "b" * 40, b"a"), Entry(TREE, SHA, b"a")])
def test_a_name_twice_is_refused(second: Entry) -> None:
    with pytest.raises(PackRefused, match="twice"):
        trees.judge([Entry(FILE, SHA, b"a"), second], [])


def test_a_link_beside_the_same_name_in_another_case_is_refused() -> None:
    with pytest.raises(PackRefused, match="case"):
        trees.judge([Entry(SYMLINK, SHA, b"A"), Entry(TREE, SHA, b"a"), Entry(FILE, SHA, b"a/post-checkout")], [])
    trees.judge([Entry(FILE, SHA, b"README"), Entry(FILE, SHA, b"readme")], [])


def test_a_listing_is_read_with_any_name() -> None:
    listing = b"100644 blob " + SHA.encode() + b"\ta\tb\n\xff\x00160000 commit " + SHA.encode() + b"\tsub\x00"
    assert list(trees.parse(listing)) == [Entry(FILE, SHA, b"a\tb\n\xff"), Entry(GITLINK, SHA, b"sub")]
