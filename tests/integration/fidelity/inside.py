"""Runs in the sandbox as the agent, with the standard library alone: does the edits it is told, and says what the work tree holds.

`python3 -c <this> < JSON`: a list of operations [name, argument...], paths and contents as Latin-1 text. What cannot be done (a file that
is not there) is left undone, so that shrinking never meets an edit that fails. On standard output: the work tree before and after
(`tell`).
"""
# ruff: noqa: PTH101, PTH103, PTH104, PTH108, PTH112, PTH114, PTH115, PTH118, PTH120, PTH123, PTH208, PTH211 - paths are bytes here

import contextlib
import json
import os
import shutil
import stat
import subprocess
import sys

TOP = b"/workspace"
SECONDS = 30


def delete(path: bytes) -> None:
    """Whatever is there."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def write(path: bytes, content: bytes) -> None:
    """Through a link where there is one, as a program would."""
    os.makedirs(os.path.dirname(path) or b".", exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)


def instead(path: bytes, content: bytes) -> None:
    """A new file in the place of whatever was there, as editors write."""
    with contextlib.suppress(OSError):
        delete(path)
    write(path, content)


def append(path: bytes, content: bytes) -> None:
    """More at the end of a file that is there."""
    with open(path, "r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(content)


def truncate(path: bytes, size: bytes) -> None:
    """To so many bytes."""
    os.truncate(path, int(size))


def disguise(path: bytes) -> None:
    """Other content of the same size and with the same times, as far as a program can set them."""
    before = os.lstat(path)
    with open(path, "r+b") as file:
        content = file.read()
        file.seek(0)
        file.write(bytes(byte ^ 1 for byte in content))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def rename(path: bytes, target: bytes) -> None:
    """Into a directory that may be new."""
    os.makedirs(os.path.dirname(target) or b".", exist_ok=True)
    os.rename(path, target)


def copy(path: bytes, target: bytes) -> None:
    """With its times and mode."""
    os.makedirs(os.path.dirname(target) or b".", exist_ok=True)
    shutil.copy2(path, target, follow_symlinks=False)


def chmod(path: bytes, mode: bytes) -> None:
    """An octal mode for a file: of a directory that nobody can read, this program could not tell anything."""
    if not os.path.isdir(path):
        os.chmod(path, int(mode, 8))


def link(path: bytes, target: bytes) -> None:
    """A symbolic link in the place of whatever was there."""
    with contextlib.suppress(OSError):
        delete(path)
    os.makedirs(os.path.dirname(path) or b".", exist_ok=True)
    os.symlink(target, path)


def directory(path: bytes) -> None:
    """An empty directory in the place of whatever was there."""
    with contextlib.suppress(OSError):
        delete(path)
    os.makedirs(path)


def touch(path: bytes) -> None:
    """New times for a file that is there."""
    os.utime(path, follow_symlinks=False)


def git(*arguments: bytes) -> None:
    """The agent's own git."""
    subprocess.run([b"git", *arguments], check=False, timeout=SECONDS, stdin=subprocess.DEVNULL, capture_output=True)


OPERATIONS = {
    operation.__name__: operation
    for operation in (write, instead, append, truncate, disguise, rename, copy, chmod, link, directory, touch, delete, git)
}


def tell() -> None:
    r"""Per entry of the work tree, but for what is named .git: "kind mode path-length length\n", path, content; then "end\n"."""
    directories = [b""]
    while directories:
        place = directories.pop()
        names = os.listdir(os.path.join(TOP, place))
        say(b"n" if place and b".git" in names and is_repository(place) else b"d", place, 0, b"")
        for name in sorted(set(names) - {b".git"}):
            path = os.path.join(place, name)
            whole = os.path.join(TOP, path)
            mode = os.lstat(whole).st_mode
            if stat.S_ISDIR(mode):
                directories.append(path)
            elif stat.S_ISLNK(mode):
                say(b"l", path, mode, os.readlink(whole))
            elif stat.S_ISREG(mode):
                with open(whole, "rb") as file:
                    say(b"f", path, mode, file.read())
    sys.stdout.buffer.write(b"end\n")


def is_repository(place: bytes) -> bool:
    """Whether git takes what is named .git there for one."""
    asked = [b"git", b"rev-parse", b"--resolve-git-dir", os.path.join(TOP, place, b".git")]
    return subprocess.run(asked, check=False, cwd="/", capture_output=True).returncode == 0


def say(kind: bytes, path: bytes, mode: int, content: bytes) -> None:
    """One entry."""
    sys.stdout.buffer.write(b"%s %o %d %d\n%s%s" % (kind, stat.S_IMODE(mode), len(path), len(content), path, content))


def main() -> None:
    """The tree, the edits, the tree."""
    work = json.load(sys.stdin)
    os.chdir(TOP)
    tell()
    for name, *arguments in work:
        with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
            OPERATIONS[name](*(argument.encode("latin-1") for argument in arguments))
        os.chdir(TOP)
    tell()


main()
