"""Judges what came out by what should have: the pushed tree, the patch, and each line of the changes document."""

from collections.abc import Mapping
from pathlib import Path

from shared.events.changes import ChangesDocument, FileChange
from tests.servers import git_objects
from tests.servers.git_objects import Blob

GITLINK = "160000"
SHOWN_BYTES = 512 * 1024
_AS_STORED = "* -text -eol -crlf -ident -filter -working-tree-encoding\n"

Files = Mapping[bytes, Blob]


def files_of(repository: Path, revision: str) -> dict[bytes, Blob]:
    """Every file of a tree, by git's own reading."""
    listed = [line.split(b"\t", 1) for line in git_objects.git(repository, "ls-tree", "-r", "-z", revision).split(b"\0") if line]
    entries = [(path, *described.decode().split(" ")) for described, path in listed]
    blobs = [sha for _, mode, _, sha in entries if mode != GITLINK]
    contents = _contents(git_objects.git(repository, "cat-file", "--batch", stdin="".join(f"{sha}\n" for sha in blobs).encode()))
    return {path: Blob(sha.encode() if mode == GITLINK else contents[sha], mode) for path, mode, _, sha in entries}


def _contents(output: bytes) -> dict[str, bytes]:
    found, position = dict[str, bytes](), 0
    while position < len(output):
        end = output.index(b"\n", position)
        sha, _, size = output[position:end].split(b" ")
        found[sha.decode()] = output[end + 1 : end + 1 + int(size)]
        position = end + 2 + int(size)
    return found


def applied_to_a_checkout(repository: Path, base: str, patch: Path, room: Path) -> str:
    """The tree that `git apply --index` makes in a checkout of the base; its files are as they are stored, whatever attributes say."""
    git_objects.git(room, "clone", "--quiet", "--no-checkout", "--shared", "--template=", repository, "checkout")
    checkout = room / "checkout"
    (checkout / ".git/info").mkdir(exist_ok=True)
    (checkout / ".git/info/attributes").write_text(_AS_STORED)
    git_objects.git(checkout, "-c", "core.protectNTFS=false", "-c", "advice.detachedHead=false", "checkout", "--quiet", base)
    if patch.stat().st_size:
        git_objects.git(checkout, "-c", "core.protectNTFS=false", "apply", "--index", "--whitespace=nowarn", patch)
    return git_objects.git(checkout, "write-tree").decode().strip()


def judge_document(document: ChangesDocument, before: Files, after: Files) -> None:
    """The document says what differs between these trees, no more and no less. Names must differ as they are shown."""
    old, new = ({_shown(path): blob for path, blob in side.items()} for side in (before, after))
    assert (len(old), len(new)) == (len(before), len(after))
    gone = {path for path in old if path not in new}
    come = {path for path in new if path not in old}
    stayed = {path for path in old if path in new and old[path] != new[path]}
    moved = [(file.old_path, file.path) for file in document.files if file.status == "renamed"]
    assert {source for source, _ in moved} | {file.path for file in document.files if file.status == "deleted"} == gone
    assert {target for _, target in moved} | {file.path for file in document.files if file.status == "added"} == come
    assert {file.path for file in document.files if file.status in {"modified", "type_changed"}} == stayed
    assert len(document.files) == len(stayed) + len(gone) + len(come) - len(moved)
    assert not document.truncated
    for file in document.files:
        judge_file(file, old.get(file.old_path or file.path), new.get(file.path))


def judge_file(file: FileChange, old: Blob | None, new: Blob | None) -> None:
    """One entry, by both sides' content."""
    assert (file.old_mode, file.new_mode) == (old.mode if old else None, new.mode if new else None)
    assert (file.old_path is not None) == (file.status == "renamed")
    if file.status in {"modified", "type_changed"}:
        assert old is not None
        assert new is not None
        assert (file.status == "type_changed") == (old.mode[:2] != new.mode[:2])
    assert file.content == _kind(old, new), file
    if file.content == "text":
        assert (file.before, file.after) == (_text(old), _text(new))
        assert played(file) == (file.after or "")
        lines = [line for hunk in file.hunks for line in hunk.lines]
        assert file.additions == sum(line.startswith("+") for line in lines)
        assert file.deletions == sum(line.startswith("-") for line in lines)
    else:
        assert (file.before, file.after) == (None, None)
        assert not file.hunks or file.content == "submodule"


def _kind(old: Blob | None, new: Blob | None) -> str:
    sides = [side for side in (old, new) if side is not None]
    if any(side.mode == GITLINK for side in sides):
        return "submodule"
    if any(len(side.content) > SHOWN_BYTES for side in sides):
        return "too_large"
    return "binary" if any(b"\0" in side.content[:8000] for side in sides) else "text"


def _text(blob: Blob | None) -> str | None:
    return None if blob is None else blob.content.decode("utf-8", "replace")


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "replace")


def played(file: FileChange) -> str:
    """`before` with the hunks applied. A change of type is two sections: all of the old goes, all of the new comes."""
    if file.status == "type_changed":
        return _new_side([line for hunk in file.hunks for line in hunk.lines])
    old = (file.before or "").split("\n")
    result, position = list[str](), 0
    for hunk in file.hunks:
        start = hunk.old_start - 1 if hunk.old_lines else hunk.old_start
        result += [f"{line}\n" for line in old[position:start]]
        position = start + hunk.old_lines
        result.append(_new_side(list(hunk.lines)))
    return "".join(result) + "\n".join(old[position:])


def _new_side(lines: list[str]) -> str:
    text = ""
    for number, line in enumerate(lines):
        if line.startswith((" ", "+")):
            ends = number + 1 < len(lines) and lines[number + 1].startswith("\\")
            text += line[1:] + ("" if ends else "\n")
    return text
