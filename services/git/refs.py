"""Names of branches and tags: which are names at all, by the rules of git-check-ref-format(1). Pure."""

import hashlib
import re

from services.git.errors import PushRefused, RefNotFound

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")
MAX_LENGTH = 240


def is_name(name: str) -> bool:
    """Whether `refs/heads/<name>` is a well-formed ref that no command could read as an option or a revision expression."""
    if not name or len(name.encode("utf-8", "replace")) > MAX_LENGTH or name.startswith("-") or _FORBIDDEN.search(name):
        return False
    if name == "@" or name.startswith("/") or name.endswith(("/", ".")) or not name.isprintable():
        return False
    return all(not part.startswith(".") and not part.endswith(".lock") for part in name.split("/"))


def wanted(base_ref: str | None) -> tuple[str, ...]:
    """The remote refs to look for, in order: a branch before a tag; None is the remote's default branch.

    Raises RefNotFound for a text that cannot be a name.
    """
    if base_ref is None:
        return ("HEAD",)
    for prefix in ("refs/heads/", "refs/tags/"):
        if base_ref.startswith(prefix) and is_name(base_ref.removeprefix(prefix)):
            return (base_ref,)
    if not is_name(base_ref):
        raise RefNotFound("base_ref cannot be the name of a branch or a tag")
    return (f"refs/heads/{base_ref}", f"refs/tags/{base_ref}")


def branch(name: str) -> str:
    """The full ref of the branch to push. Raises PushRefused for a text that cannot be a branch's name."""
    if not is_name(name):
        raise PushRefused("the branch's name is not one git accepts")
    return f"refs/heads/{name}"


def kept_as(remote_ref: str) -> str:
    """Where a mirror keeps a remote ref: by digest, so that no remote name can clash with another or with a path."""
    return f"refs/async-code/{hashlib.sha256(remote_ref.encode()).hexdigest()}"
