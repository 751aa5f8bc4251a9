"""Whatever two trees hold: the patch turns one into the other, and so do the document's hunks, file by file."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.git import diffs, trees
from services.git.command import Git
from services.git.diffs import Sizes
from services.git.protected import Protection
from services.git.takein import Taken
from tests.integration.fidelity.verdict import played
from tests.integration.services.git.line import applied
from tests.servers import git_objects
from tests.servers.git_objects import Blob


def _text(lines: list[bytes], ends: bool) -> bytes:
    return b"\n".join(lines) + (b"\n" if ends and lines else b"")


LINES = st.lists(
    st.sampled_from([b"a", b"b", b"", b"@@ -1 +1 @@", b"diff --git a/x b/x", b"--- a", b"+++ b", b"\\", b"c\r", b"\x0c", b"\xff"]),
    max_size=8,
)
TEXT = st.builds(_text, LINES, st.booleans())
FILE = st.builds(Blob, TEXT | st.binary(max_size=40), st.sampled_from(["100644", "100755"]))
LINK = st.builds(Blob, st.sampled_from([b"a", b"../x", b"/etc/passwd"]), st.just("120000"))
MODULE = st.builds(Blob, st.sampled_from([b"1" * 40, b"2" * 40]), st.just("160000"))
NAMES = st.sampled_from([b"a", b"b c", b"d/e", b"d/f", b"\xc3\xbc", b"\xff", b'q"uote', b"n\nl", b"t\tb", b"-x", b":c", b"h b/h"])
TREES = st.dictionaries(NAMES, FILE | LINK | MODULE, max_size=8)


@pytest.mark.timeout(600)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=TREES, after=TREES)
def test_a_patch_and_the_document_say_the_same_as_the_trees(tmp_path: Path, before: dict[bytes, Blob], after: dict[bytes, Blob]) -> None:
    repository = git_objects.init(tmp_path / "property.git")
    base = git_objects.write_commit(repository, git_objects.write_tree(repository, before))
    tree = git_objects.write_tree(repository, after)
    asyncio.run(
        _judge(Git(tmp_path / "home"), repository, base, tree, {name for name in before | after if before.get(name) != after.get(name)})
    )


async def _judge(git: Git, repository: Path, base: str, tree: str, changed: set[bytes]) -> None:
    entries = tuple(trees.parse((await git.run("ls-tree", "-r", "-t", "-z", tree, repository=repository)).output))
    taken = Taken(repository, base, tree, entries)
    patch = repository / "patch"
    await diffs.write_patch(git, taken, patch, Sizes())
    assert applied(repository, base, patch) == tree
    diff = await diffs.changes(git, taken, Protection(), Sizes())
    named = {path for file in diff.document.files for path in (file.path, file.old_path) if path is not None}
    assert named == {name.decode("utf-8", "replace") for name in changed}
    for file in diff.document.files:
        if file.content == "text":
            assert played(file) == (file.after or "")
    assert diff.additions == sum(line.startswith("+") for file in diff.document.files for hunk in file.hunks for line in hunk.lines)
