"""What a repository keeps elsewhere, in Git LFS or in submodules: it passes as it is, or is refused by its own name."""

import asyncio

import pytest

from tests.integration.fidelity.verdict import files_of
from tests.integration.fidelity.workshop import BRANCH, Workshop
from tests.servers.git_objects import Blob

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "a" * 64 + "\nsize 12345\n"
BASE = {
    b".gitattributes": Blob(b"*.psd filter=lfs diff=lfs merge=lfs -text\n"),
    b"app.py": Blob(b"print('hello')\n"),
    b"logo.psd": Blob(POINTER.encode()),
    b"old.psd": Blob(b"real content from before LFS\n"),
    b".gitmodules": Blob(b'[submodule "lib"]\n\tpath = vendor/lib\n\turl = https://git.example/lib\n'),
    b"vendor/lib": Blob(b"1" * 40, "160000"),
}
EDIT = ("append", "app.py", "print('bye')\n")


@pytest.mark.parametrize(
    ("operation", "changed"),
    [
        pytest.param(EDIT, set[bytes](), id="untouched pointers, untouched submodules"),
        pytest.param(("rename", "logo.psd", "art/logo.psd"), {b"logo.psd", b"art/logo.psd"}, id="a pointer moves"),
        pytest.param(("delete", "logo.psd"), {b"logo.psd"}, id="a pointer goes"),
        pytest.param(("write", "logo.psd", POINTER.replace("aaaa", "bbbb")), {b"logo.psd"}, id="another pointer"),
        pytest.param(("write", "new.psd", ""), {b"new.psd"}, id="an empty file, which LFS keeps as it is"),
        pytest.param(("chmod", "old.psd", "755"), {b"old.psd"}, id="content that was there before LFS stays"),
        pytest.param(("link", "logo.psd", "app.py"), {b"logo.psd"}, id="a link in the place of a pointer"),
        pytest.param(("git", "rm", "--quiet", "-r", "vendor"), {b"vendor/lib", b".gitmodules"}, id="the submodule goes"),
        pytest.param(("instead", "vendor/lib", "a file\n"), {b"vendor/lib"}, id="a file in the submodule's place"),
    ],
)  # fmt: skip
def test_passes(workshop: Workshop, loop: "asyncio.Runner", operation: tuple[str, ...], changed: set[bytes]) -> None:
    name = workshop.repository(BASE)
    outcome = loop.run(workshop.work(name, [operation, EDIT]))
    assert outcome.code is None
    base, made = files_of(workshop.server.path(name), "main"), files_of(workshop.server.path(name), BRANCH)
    assert {path for path in base.keys() | made if base.get(path) != made.get(path)} == changed | {b"app.py"}
    assert outcome.changes is not None
    assert outcome.prepared is not None
    assert {file.path for file in outcome.changes.files if file.content == "submodule"} == {
        path.decode() for path in changed & {b"vendor/lib"}
    }
    assert (outcome.prepared.protected_files > 0) == bool(changed & {b"vendor/lib"})


@pytest.mark.parametrize(
    ("operations", "code"),
    [
        pytest.param([("write", "logo.psd", "real content\n")], "lfs_content", id="content in a pointer's place"),
        pytest.param([("write", "new.psd", "x" * 5000)], "lfs_content", id="new content"),
        pytest.param([("append", "old.psd", "more\n")], "lfs_content", id="content from before LFS changes"),
        pytest.param([("write", "new.psd", POINTER + "and more\n")], "lfs_content", id="almost a pointer"),
        pytest.param([("rename", "app.py", "app.psd")], "lfs_content", id="a rename into LFS"),
        pytest.param([("instead", "art/.gitattributes", "x filter=lfs\n"), ("write", "art/x", "x\n")], "lfs_content", id="new attributes"),
        pytest.param([("write", "vendor/lib/file", "lost\n")], "submodule_content", id="a file in a submodule"),
        pytest.param([("directory", "vendor/lib/empty")], "submodule_content", id="a directory in a submodule"),
        pytest.param([("git", "init", "--quiet", "inner"), ("write", "inner/file", "x\n")], "nested_repository", id="a repository"),
        pytest.param([("git", "clone", "--quiet", ".", "inner")], "nested_repository", id="a clone"),
        pytest.param([("git", "worktree", "add", "--quiet", "tree")], "nested_repository", id="a work tree of the agent's git"),
        pytest.param([("delete", "vendor/lib"), ("git", "clone", "--quiet", ".", "vendor/lib")], "nested_repository", id="another"),
    ],
)  # fmt: skip
def test_is_refused_by_its_name(workshop: Workshop, loop: "asyncio.Runner", operations: list[tuple[str, ...]], code: str) -> None:
    name = workshop.repository(BASE)
    outcome = loop.run(workshop.work(name, [EDIT, *operations]))
    assert outcome.code == code
    assert workshop.server.branch(name, BRANCH) is None
