"""A task's change on a person's own checkout, by their own git: all of it or nothing, and never outside the checkout's tracked world.

The patch is hostile: it was made from what an agent wrote. Nothing in it may run (hooks, monitors), leave the tree or touch `.git`.
"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from cli.exits import CliError, Exit

_HARDENED = (
    *("-c", "core.hooksPath=/dev/null"),  # writing an index runs post-index-change (githooks(5))
    *("-c", "core.fsmonitor=false"),  # otherwise a command of the repository's own configuration
    *("-c", "core.protectHFS=true"),  # names that are .git on another file system: CVE-2014-9390, CVE-2019-1352
    *("-c", "core.protectNTFS=true"),
    *("-c", "apply.whitespace=nowarn"),
    *("-c", "apply.ignoreWhitespace=no"),
)
_CONFLICT = " with conflicts."
_KEPT_VARIABLES = ("PATH", "HOME", "XDG_CONFIG_HOME", "USER", "LOGNAME", "TMPDIR")
"""What git gets of our environment: no token of ours, and no GIT_DIR that would lead it elsewhere."""


def apply(directory: Path, patch: bytes, *, merge: bool = False) -> list[str]:
    """Apply to the checkout that holds `directory`, index and files; gives the changed paths. Raises CliError, with nothing changed.

    With `merge`, what conflicts is left in the files between markers, as a merge leaves it; the error then says so.
    """
    top = _top(directory)
    paths = _paths(top, patch)
    checked = _git(top, "apply", "--3way", "--check", stdin=patch)
    if checked.returncode != 0:
        raise CliError(f"Nothing was changed: {_reason(checked)}", _advice(checked), Exit.REFUSED)
    if _CONFLICT in _said(checked) and not merge:
        advice = "Check out the task's base or its branch, or let conflicts be marked in the files: --merge"
        raise CliError(f"Nothing was changed: your version conflicts in {_conflicting(checked)}.", advice, Exit.REFUSED)
    done = _git(top, "apply", "--3way", stdin=patch)
    if done.returncode != 0:
        if _CONFLICT in _said(done):
            advice = "Resolve them, then `git add`; or take it all back: git reset --merge"
            raise CliError(f"Applied with conflicts in {_conflicting(done)}.", advice, Exit.REFUSED)
        raise CliError(f"git could not apply it: {_reason(done)}", "See: git status")
    return paths


def _top(directory: Path) -> Path:
    """The root of the checkout: git leaves out, without a word, what lies beside a subdirectory it is run in."""
    try:
        found = _git(directory, "rev-parse", "--show-toplevel")
    except FileNotFoundError as error:
        raise CliError("git is not installed here.", "Take the patch itself: ./async-code task diff … > change.patch") from error
    if found.returncode != 0:
        raise CliError(f"{directory.absolute()} is no checkout: {_reason(found)}", "Name one: --directory ~/src/web", Exit.USAGE)
    return Path(os.fsdecode(found.stdout.removesuffix(b"\n")))


def _paths(top: Path, patch: bytes) -> list[str]:
    """The paths a patch changes. Raises CliError where one is not a plain path inside the tree; git itself looks again."""
    listed = _git(top, "apply", "--numstat", "-z", stdin=patch)
    if listed.returncode != 0:
        raise CliError(f"Nothing was changed: git cannot read the patch: {_reason(listed)}", code=Exit.REFUSED)
    paths = [entry.split(b"\t", 2)[2] for entry in listed.stdout.split(b"\0") if entry]
    for path in paths:
        parts = path.split(b"/")
        if not path or any(part in {b"", b".", b".."} or part.lower() == b".git" for part in parts):
            text = f"Nothing was changed: the patch reaches outside the checkout's files: {os.fsdecode(path)!r}"
            raise CliError(text, "Do not use this patch; look at the task's log.", Exit.REFUSED)
    return [path.decode(errors="replace") for path in paths]


def _git(directory: Path, *arguments: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    command = ["git", *_HARDENED, *arguments]
    return subprocess.run(command, cwd=directory, env=_environment(os.environ), input=stdin, capture_output=True, check=False)


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    return {name: ours[name] for name in _KEPT_VARIABLES if name in ours} | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}


def _said(done: "subprocess.CompletedProcess[bytes]") -> str:
    return done.stderr.decode(errors="replace")


def _reason(done: "subprocess.CompletedProcess[bytes]") -> str:
    """What git says is wrong, in one line."""
    wrong = [line.partition(": ")[2] for line in _said(done).splitlines() if line.startswith(("error: ", "fatal: "))]
    named = [line for line in wrong if not line.startswith(("patch failed", "repository lacks"))]
    return "; ".join(dict.fromkeys(named or wrong)) or f"git ended with {done.returncode}"


def _conflicting(done: "subprocess.CompletedProcess[bytes]") -> str:
    lines = (line for line in _said(done).splitlines() if line.endswith(_CONFLICT))
    return ", ".join(line.removeprefix("Applied patch to ").removesuffix(_CONFLICT) for line in lines)


def _advice(done: "subprocess.CompletedProcess[bytes]") -> str:
    said = _said(done)
    if "does not match index" in said:
        return "Commit or stash your own changes to these files first."
    if "already exists" in said or "cannot read the current contents" in said:  # an untracked file where a new one is to be
        return "Move your own file of that name away first."
    return "Check out the task's base, or take its branch with: git fetch"
