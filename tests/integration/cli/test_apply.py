"""A change on a person's own checkout, by real git: what fits goes on whole, what does not changes nothing, what is hostile is refused."""

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from cli import checkout
from cli.exits import CliError, Exit

from .api import TASK_ID, Answer, Api
from .command import Person

LINES = "".join(f"line {number}\n" for number in range(1, 31))
IDENTITY = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@b"}


def git(directory: Path, *arguments: str) -> bytes:
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "LC_ALL": "C", **IDENTITY}
    return subprocess.run(["/usr/bin/git", *arguments], cwd=directory, env=environment, check=True, capture_output=True).stdout


def commit(directory: Path, message: str = "more") -> None:
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--message", message)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A checkout with a file of every kind."""
    directory = tmp_path / "base"
    (directory / "sub").mkdir(parents=True)
    git(directory, "init", "--quiet", "--initial-branch=main")
    (directory / "text").write_text(LINES)
    (directory / "windows").write_bytes(b"one\r\ntwo\r\nthree\r\n")
    (directory / "binary").write_bytes(bytes(range(256)) * 4)
    (directory / "script").write_text("#!/bin/sh\n")
    (directory / "sub/inner").write_text("inner\n")
    commit(directory)
    return directory


Change = Callable[[Path], object]


def patch_of(base: Path, change: Change) -> bytes:
    """What a task would have made of it, as the git service writes patches."""
    change(base)
    git(base, "add", "--all")
    patch = git(base, "diff", "--cached", "--no-color", "--no-ext-diff", "--no-textconv", "--full-index", "--binary", "-M")
    git(base, "reset", "--quiet", "--hard")
    return patch


def state(directory: Path) -> tuple[bytes, bytes, Mapping[str, bytes]]:
    """Everything that applying could change."""
    files = {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file() and ".git" not in path.parts}
    return git(directory, "status", "--porcelain=v2", "--untracked-files=all"), git(directory, "rev-parse", "HEAD"), files


def _everything(base: Path) -> None:
    (base / "text").write_text(LINES.replace("line 15\n", "line fifteen\n"))
    (base / "windows").write_bytes(b"one\r\nTWO\r\nthree\r\n")
    (base / "binary").write_bytes(b"\0" + bytes(range(255, -1, -1)) * 4)
    (base / "script").chmod(0o755)
    (base / "sub/inner").unlink()
    (base / "new file \u00e4\n.txt").write_text("no line end")
    (base / "link").symlink_to("text")
    (base / "empty").touch()


def test_every_kind_of_change_is_applied_exactly_and_staged(base: Path) -> None:
    patch = patch_of(base, _everything)
    expected = base.with_name("expected")
    git(base.parent, "clone", "--quiet", str(base), str(expected))
    _everything(expected)
    git(expected, "add", "--all")
    paths = checkout.apply(base / "sub", patch)
    assert git(base, "write-tree") == git(expected, "write-tree")
    assert git(base, "diff") == b""
    assert (base / "windows").read_bytes() == b"one\r\nTWO\r\nthree\r\n"
    assert os.access(base / "script", os.X_OK)
    assert not (base / "sub/inner").exists()
    assert set(paths) >= {"text", "binary", "script", "sub/inner", "link", "empty", "new file \u00e4\n.txt"}
    assert git(base, "rev-list", "--count", "HEAD") == b"1\n"


def test_a_checkout_with_line_ends_of_its_own_takes_it(base: Path) -> None:
    patch = patch_of(base, lambda at: (at / "text").write_text(LINES.replace("line 15\n", "line fifteen\n")))
    git(base, "config", "core.autocrlf", "true")
    (base / "text").unlink()
    git(base, "checkout", "text")
    assert b"\r\n" in (base / "text").read_bytes()
    checkout.apply(base, patch)
    assert (base / "text").read_bytes() == LINES.replace("line 15\n", "line fifteen\n").replace("\n", "\r\n").encode()


def _fifteen(base: Path) -> None:
    (base / "text").write_text(LINES.replace("line 15\n", "line fifteen\n"))


def test_other_changes_of_ones_own_stay(base: Path) -> None:
    patch = patch_of(base, _fifteen)
    (base / "script").write_text("mine\n")
    (base / "untracked").write_text("mine\n")
    checkout.apply(base, patch)
    assert (base / "script").read_text() == "mine\n"
    assert git(base, "status", "--porcelain").decode().splitlines() == [" M script", "M  text", "?? untracked"]


def test_a_newer_version_is_merged(base: Path) -> None:
    patch = patch_of(base, _fifteen)
    (base / "text").write_text("first\n" + LINES.replace("line 18\n", "line eighteen\n"))
    commit(base)
    checkout.apply(base, patch)
    assert {"first", "line fifteen", "line eighteen"} <= set((base / "text").read_text().splitlines())


def _dirty(base: Path) -> None:
    (base / "text").write_text(LINES + "mine\n")


def _conflicting(base: Path) -> None:
    (base / "text").write_text(LINES.replace("line 15\n", "line XV\n"))
    commit(base)


def _deleted(base: Path) -> None:
    (base / "text").unlink()
    commit(base)


def _of_another_kind(base: Path) -> None:
    (base / "text").unlink()
    (base / "text").symlink_to("/etc/passwd")
    commit(base)


@pytest.mark.parametrize("own", [_dirty, _conflicting, _deleted, _of_another_kind])
def test_what_does_not_fit_changes_nothing(base: Path, own: Change) -> None:
    patch = patch_of(base, lambda at: (_fifteen(at), (at / "new").touch(), (at / "sub/inner").unlink()))
    own(base)
    before = state(base)
    with pytest.raises(CliError, match=r"Nothing was changed: .*text") as refused:
        checkout.apply(base, patch)
    assert (refused.value.code, bool(refused.value.advice)) == (Exit.REFUSED, True)
    assert state(base) == before


def test_a_file_in_the_way_stays(base: Path) -> None:
    patch = patch_of(base, lambda at: (at / "new").write_text("theirs\n"))
    (base / "new").write_text("mine\n")
    with pytest.raises(CliError, match="Nothing was changed: new") as refused:
        checkout.apply(base, patch)
    assert "Move your own file" in refused.value.advice
    assert (base / "new").read_text() == "mine\n"


def test_conflicts_are_marked_only_where_that_is_asked_for(base: Path) -> None:
    patch = patch_of(base, _fifteen)
    _conflicting(base)
    with pytest.raises(CliError, match="Applied with conflicts in 'text'") as told:
        checkout.apply(base, patch, merge=True)
    assert told.value.code == Exit.REFUSED
    assert "<<<<<<<" in (base / "text").read_text()


def _new_file(path: str, mode: str = "100644", content: str = "owned") -> bytes:
    head = f"diff --git a/{path} b/{path}\nnew file mode {mode}\nindex {'0' * 40}..{'1' * 40}\n--- /dev/null\n+++ b/{path}\n"
    return f"{head}@@ -0,0 +1 @@\n+{content}\n".encode()


HOSTILE_PATHS = [
    "../outside",
    "a/../../outside",
    ".git/hooks/pre-commit",
    ".git/config",
    "sub/.git/config",
    ".GIT/config",
    ".Git/x",
    "git~1/config",
    ".g\u200cit/config",
    ".git ./config",
    ".git::$INDEX_ALLOCATION/config",
    "/etc/cron.d/x",
    "./x",
    "a//b",
]


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_a_path_that_leaves_the_tree_or_touches_git_is_refused(base: Path, path: str) -> None:
    before, config = state(base), (base / ".git/config").read_bytes()
    hooks = set((base / ".git/hooks").iterdir())
    with pytest.raises(CliError, match="Nothing was changed") as refused:
        checkout.apply(base, _new_file(path) + _new_file("fine"))
    assert refused.value.code == Exit.REFUSED
    assert (state(base), (base / ".git/config").read_bytes(), set((base / ".git/hooks").iterdir())) == (before, config, hooks)


@pytest.mark.parametrize("source", [".git/config", "../secret", "/etc/passwd"])
@pytest.mark.parametrize("verb", ["rename", "copy"])
def test_nothing_is_taken_from_outside_either(base: Path, verb: str, source: str) -> None:
    before = state(base)
    patch = f"diff --git a/{source} b/taken\nsimilarity index 100%\n{verb} from {source}\n{verb} to taken\n".encode()
    with pytest.raises(CliError, match="Nothing was changed"):
        checkout.apply(base, patch)
    assert state(base) == before


def test_nothing_is_written_through_a_link(base: Path) -> None:
    outside = base.parent / "outside"
    outside.mkdir()
    link = (
        f"diff --git a/way b/way\nnew file mode 120000\nindex {'0' * 40}..{'1' * 40}\n--- /dev/null\n+++ b/way\n@@ -0,0 +1 @@\n+{outside}\n"
    )
    patch = link.encode() + b"\\ No newline at end of file\n" + _new_file("way/x")
    with pytest.raises(CliError, match="Nothing was changed"):
        checkout.apply(base, patch)
    (base / "own").symlink_to(outside)
    commit(base)
    with pytest.raises(CliError, match="Nothing was changed"):
        checkout.apply(base, _new_file("own/x"))
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("patch", [b"nonsense", b"diff --git a/x b/x\n@@ -1 +1 @@\n", b"\0\xff" * 100])
def test_what_is_no_patch_is_refused(base: Path, patch: bytes) -> None:
    before = state(base)
    with pytest.raises(CliError, match="Nothing was changed"):
        checkout.apply(base, patch)
    assert state(base) == before


def test_nothing_of_the_repository_is_run(base: Path) -> None:
    patch = patch_of(base, _fifteen)
    witness = base.parent / "ran"
    program = base / ".git/hooks/post-index-change"
    program.write_text(f"#!/bin/sh\necho hook >> {witness}\n")
    program.chmod(0o755)
    monitor = base / ".git/monitor"
    monitor.write_text(f"#!/bin/sh\necho monitor >> {witness}\n")
    monitor.chmod(0o755)
    git(base, "config", "core.fsmonitor", str(monitor))
    checkout.apply(base, patch)
    assert not witness.exists()


def test_a_directory_that_is_no_checkout_is_named(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="is no checkout") as refused:
        checkout.apply(tmp_path, _new_file("x"))
    assert refused.value.code == Exit.USAGE


def test_the_command_applies_what_the_server_has(api: Api, person: Person, base: Path) -> None:
    api.answers["GET", f"/v1/tasks/{TASK_ID}/patch"] = Answer(patch_of(base, _fifteen))
    done = person.run("task", "apply", TASK_ID, "-C", str(base), ASYNC_CODE_TOKEN=api.access_token, GIT_DIR="/nowhere")
    assert done.returncode == 0, done.stderr
    assert git(base, "diff", "--cached", "--name-only") == b"text\n"
    _, text = person.on_terminal("task", "apply", TASK_ID, "-C", str(base))
    assert "Not signed in" in text


def test_a_task_without_a_change_is_said(api: Api, person: Person, base: Path) -> None:
    api.answers["GET", f"/v1/tasks/{TASK_ID}/patch"] = Answer(b"")
    done = person.run("task", "apply", TASK_ID, "-C", str(base), ASYNC_CODE_TOKEN=api.access_token)
    assert (done.returncode, done.stderr.splitlines()[0]) == (Exit.NOT_FOUND, "async-code: The task changed nothing.")
