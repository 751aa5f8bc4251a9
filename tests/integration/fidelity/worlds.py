"""Repositories and edits as hypothesis draws them: from few names and contents that meet each other often, so that failures shrink well."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from hypothesis import strategies as st

from tests.servers.git_objects import Blob

DEEP = b"/".join([b"deep"] * 40) + b"/file.txt"
PLAIN = (
    b"a.txt",
    b"b.bin",
    b"c.crlf",
    b"d/e.txt",
    b"d/f",
    b"d/g/h.txt",
    b"run.sh",
    b"i.ident",
    b"u.utf16",
    b"l.lfs",
    b"d/l.lfs",
    b"x.log",
    b"build/out.o",
)
ODD = (
    b" lead", b"trail ", b"dot.", b"-dash", b"--all", b"new\nline", b"tab\t", b"q\"uo'te", b"back\\slash", b"\xff\xfe",
    "\u00fc".encode(), "u\u0308".encode(),
    "\U0001f980/\U0001f980".encode(), b"x" * 255, DEEP, b"con", b":(top)x", b"*", b"[a]", b"!bang", b"#hash", b"$(id)", b"README",
    b"readme", b"h b/h", b"\x01\x7f",
)  # fmt: skip
CLASHES = (b"d", b"a.txt/below", b"build", b"d/g", b"deep")
PLACES = (*PLAIN, *ODD, *CLASHES)
IGNORES = (b".gitignore", b"d/.gitignore")
ATTRIBUTES = (b".gitattributes", b"d/.gitattributes")
MODULE = b"vendor/module"
OF_THE_AGENT = (b".git/info/exclude", b".git/info/attributes", b".git/config", b".git/index", b".git/HEAD")

IGNORE_LINES = (
    b"*.log",
    b"build/",
    b"/d/*",
    b"!d/f",
    b"!x.log",
    b"#hash",
    b"\\#hash",
    b"*",
    b"!*.txt",
    b"**/g",
    b"trail\\ ",
    b"*.txt\r",
    b"deep/",
)
ATTRIBUTE_LINES = (
    b"* text=auto", b"*.txt text", b"*.txt text eol=crlf", b"*.crlf text eol=crlf", b"* text=auto eol=crlf", b"*.txt -text",
    b"*.bin binary", b"*.txt eol=lf",
    b"*.ident ident", b"* ident", b"*.utf16 text working-tree-encoding=UTF-16LE", b"*.utf16 working-tree-encoding=UTF-16",
    b"*.txt working-tree-encoding=ISO-8859-1",
    b"*.lfs filter=lfs diff=lfs merge=lfs -text", b"* filter=missing", b"*.txt export-subst", b"d export-ignore", b"*.txt crlf=input",
    b"* -diff", b"\"q\\\"uo'te\" text",
)  # fmt: skip
LINES = (
    b"one",
    b"two",
    b"three\r",
    b"",
    b"$Id$",
    b"$Id: 0123 $",
    b"$Format:%H$",
    b"\r",
    b"caf\xc3\xa9",
    b"caf\xe9",
    b"@@ -1 +1 @@",
    b"diff --git a/x b/x",
    b"--- a",
)
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 12345\n"


def _joined(lines: list[bytes], end: bytes) -> bytes:
    return b"".join(line + b"\n" for line in lines) + end


def _with_carriage_returns(text: bytes) -> bytes:
    return text.replace(b"\r", b"").replace(b"\n", b"\r\n")


def _little(text: bytes) -> bytes:
    return text.decode("utf-8", "replace").encode("utf-16-le")


def _marked(text: bytes) -> bytes:
    return text.decode("utf-8", "replace").encode("utf-16")


def _with_nul(text: bytes) -> bytes:
    return text + b"\0"


def _long(text: bytes) -> bytes:
    return text * 400


TEXT = st.builds(_joined, st.lists(st.sampled_from(LINES), max_size=6), st.sampled_from([b"", b"end", b"end\r"]))
CRLF = TEXT.map(_with_carriage_returns)
CONTENT = st.one_of(
    TEXT, CRLF, st.binary(max_size=24), TEXT.map(_little), TEXT.map(_marked), st.just(b""), TEXT.map(_with_nul), TEXT.map(_long),
    st.sampled_from([POINTER % (b"a" * 64), POINTER % (b"b" * 64)]),
)  # fmt: skip
IGNORE_FILE = st.builds(_joined, st.lists(st.sampled_from(IGNORE_LINES), max_size=3), st.just(b""))
ATTRIBUTE_FILE = st.builds(_joined, st.lists(st.sampled_from(ATTRIBUTE_LINES), min_size=1, max_size=3), st.just(b""))
TARGET = st.sampled_from(
    [b"a.txt", b"missing", b"../outside", b"/etc/passwd", b"d", b".", b"..", b"/tmp", b"\xff", b"-x", b"x" * 255, b".git/config"]
)
FILE = st.builds(Blob, CONTENT, st.sampled_from(["100644", "100644", "100755"]))
LINK = st.builds(Blob, TARGET, st.just("120000"))

Operation = tuple[str, ...]
"""As `inside` takes it: a name and arguments, bytes as Latin-1 text."""
T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """What the repository holds and what the agent does to it."""

    base: Mapping[bytes, Blob]
    operations: tuple[Operation, ...]


def _fitting(
    files: Mapping[bytes, Blob], ignores: Mapping[bytes, Blob], attributes: Mapping[bytes, Blob], module: Blob | None
) -> dict[bytes, Blob]:
    """Of names of which one lies below the other, the first."""
    chosen: dict[bytes, Blob] = {}
    given = {**attributes, **ignores, **files, **({} if module is None else {MODULE: module})}
    for path, blob in given.items():
        if not any(path.startswith(other + b"/") or other.startswith(path + b"/") for other in chosen):
            chosen[path] = blob
    return chosen


def _edit(name: str, *arguments: st.SearchStrategy[bytes]) -> st.SearchStrategy[Operation]:
    return st.tuples(*arguments).map(lambda drawn: (name, *(argument.decode("latin-1") for argument in drawn)))


PLACE = st.one_of(
    st.sampled_from(PLAIN),
    st.sampled_from(PLACES),
    st.sampled_from((*IGNORES, *ATTRIBUTES, b"vendor", MODULE, MODULE + b"/file", b"new/file")),
)
GIT = (
    "add --all", "add --renormalize .", "checkout --quiet -b other",
    "checkout --quiet -- .", "checkout --quiet --orphan bare", "clean -fdxq",
    "commit --quiet --all --message mine", "config core.autocrlf true", "config core.bare true",
    "config core.excludesFile /workspace/a.txt",
    "config core.fileMode false", "config core.ignoreCase true", "config core.symlinks false", "config filter.lfs.clean cat",
    "config filter.missing.clean rev", "gc --quiet", "init --quiet d", "init --quiet new", "read-tree --empty",
    "rebase --quiet --force-rebase HEAD", "rebase --quiet --root", "reset --quiet --hard", "sparse-checkout set d",
    "stash --quiet --include-untracked", "stash pop --quiet", "submodule --quiet update --init", "update-ref -d HEAD",
    "worktree add --quiet tree",
)  # fmt: skip
GIT_ON_A_PATH = (
    "add", "add --force", "add --intent-to-add", "checkout --quiet", "rm --quiet --cached -r", "rm --quiet -r -f",
    "update-index --assume-unchanged",
    "update-index --skip-worktree", "update-index --chmod=+x", "update-index --force-remove",
)  # fmt: skip


def _git(words: str) -> Operation:
    return ("git", *words.split(" "))


def _git_on(words: str, place: bytes) -> Operation:
    return (*_git(words), "--", place.decode("latin-1"))


OPERATION = st.one_of(
    _edit("write", PLACE, CONTENT),
    _edit("instead", PLACE, CONTENT),
    _edit("append", PLACE, st.sampled_from([b"more\r\n", b"more\n", b"end"])),
    _edit("truncate", PLACE, st.sampled_from([b"0", b"3", b"70000"])),
    _edit("disguise", PLACE),
    _edit("touch", PLACE),
    _edit("delete", PLACE),
    _edit("rename", PLACE, PLACE),
    _edit("copy", PLACE, PLACE),
    _edit("chmod", PLACE, st.sampled_from([b"755", b"644", b"600", b"700", b"611", b"444"])),
    _edit("link", PLACE, TARGET),
    _edit("directory", PLACE),
    _edit("instead", st.sampled_from(ATTRIBUTES), ATTRIBUTE_FILE),
    _edit("instead", st.sampled_from(IGNORES), IGNORE_FILE),
    _edit("instead", st.sampled_from(OF_THE_AGENT), IGNORE_FILE | ATTRIBUTE_FILE),
    _edit("delete", st.sampled_from([b".git", *OF_THE_AGENT, *ATTRIBUTES, *IGNORES])),
    _edit("rename", st.just(b".git"), st.sampled_from([b"d/.git", b"new/.git"])),
    st.sampled_from(GIT).map(_git),
    st.sampled_from(GIT).map(_git),
    st.builds(_git_on, st.sampled_from(GIT_ON_A_PATH), PLACE),
)


def _few_or_many(sized: Callable[[int, int], st.SearchStrategy[T]]) -> st.SearchStrategy[T]:
    """Mostly many, because an example costs a second whatever it holds; few, so that failures shrink."""
    return st.one_of(sized(6, 14), sized(0, 6))


WORLDS = st.builds(
    World,
    st.builds(
        _fitting,
        _few_or_many(
            lambda least, most: st.dictionaries(
                st.sampled_from(PLAIN) | st.sampled_from(PLACES), FILE | FILE | LINK, min_size=least, max_size=most
            )
        ),
        st.dictionaries(st.sampled_from(IGNORES), st.builds(Blob, IGNORE_FILE), max_size=1),
        st.dictionaries(st.sampled_from(ATTRIBUTES), st.builds(Blob, ATTRIBUTE_FILE), max_size=2),
        st.sampled_from([None, None, None, Blob(b"1" * 40, "160000")]),
    ),
    _few_or_many(lambda least, most: st.lists(OPERATION, min_size=least, max_size=most)).map(tuple),
)
