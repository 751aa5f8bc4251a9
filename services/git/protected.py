"""Which changes wait for a person whatever the policy: those to what CI, hooks and reviewing tools execute or obey. Pure.

Why these: CI runs them with the repository's secrets, or they decide who must review, or what a reviewer gets to see.
"""

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.git.globs import GlobSet, compile_glob
from services.git.trees import GITLINK, SYMLINK, folded

BUILT_IN = (
    # CI configuration
    ".github/workflows/**", ".github/actions/**", ".github/dependabot.y*ml", "action.yml", "action.yaml",
    ".gitlab-ci*.y*ml", ".gitlab/**", ".gitea/**", ".forgejo/**", ".circleci/**", "Jenkinsfile*", ".jenkins/**", "azure-pipelines*",
    ".azure-pipelines/**", ".azuredevops/**", ".pipelines/**", "bitbucket-pipelines.y*ml", ".drone.*", ".woodpecker*", ".woodpecker/**",
    ".buildkite/**", ".travis.y*ml", "appveyor.y*ml", ".appveyor.y*ml", ".cirrus.*", ".semaphore/**", ".teamcity/**", ".tekton/**",
    ".builds/**", ".build.y*ml", "cloudbuild*.y*ml", "cloudbuild*.json", "buildspec*.y*ml", "codefresh.y*ml", ".harness/**", ".dagger/**",
    # who reviews, and what a review shows: .gitattributes can fold a file away (-diff, linguist-generated) and name merge drivers and
    # filters; .lfsconfig can send a token elsewhere
    "CODEOWNERS", ".gitattributes", ".gitmodules", ".lfsconfig",
    # hooks that run on a person's machine
    ".husky/**", ".githooks/**", ".pre-commit-config.y*ml", ".pre-commit-hooks.y*ml", ".lefthook*", "lefthook*.y*ml", ".overcommit.y*ml",
    # what editors and agents execute on opening a checkout
    ".devcontainer/**", ".devcontainer.json", ".vscode/tasks.json", ".vscode/launch.json", ".envrc", ".claude/settings*.json",
    ".claude/hooks/**", ".mcp.json", ".codex/**", ".opencode/**", "opencode.json*",
)  # fmt: skip

MAX_PATTERNS, MAX_PATTERN_LENGTH = 200, 512
_WINDOWS = re.compile(r"[\\:]|[ .](?:/|\Z)")
_MAX_HOPS = 40  # as many links as Linux follows (path_resolution(7))


@dataclass(frozen=True, slots=True)
class Touched:
    """One changed file as git's raw diff names it."""

    old_path: bytes
    path: bytes
    old_mode: bytes
    new_mode: bytes


class Protection:
    """The built-in patterns and the project's own. Patterns beyond the caps make everything protected: never less than asked for."""

    def __init__(self, project: Sequence[str] = ()) -> None:
        broken = len(project) > MAX_PATTERNS or any(len(pattern) > MAX_PATTERN_LENGTH for pattern in project)
        patterns = ("**",) if broken else project
        self._patterns = [(pattern, compile_glob(pattern)) for pattern in (*BUILT_IN, *patterns) if pattern.strip(" /.")]
        self._globs = GlobSet(glob for _, glob in self._patterns)
        self._literals: frozenset[str] = frozenset()

    def guards_link(self, path: bytes) -> bool:
        """Whether a link at `path` stands at, or on the way to, something protected."""
        return any(self._globs.matches(name) or self._globs.is_above(name) for name in _readings(path))

    def follow(self, links: Mapping[bytes, bytes]) -> None:
        """Protect also what protected links of the tree lead to, and every link on the way. `links` are paths and targets."""
        found = set[bytes]()
        for path in links:
            if self.guards_link(path):
                found |= _visited(path, links)
        self._literals |= frozenset(folded(path) for path in found)

    def covers(self, touched: Touched) -> bool:
        """Whether this change waits for a person."""
        if GITLINK in {touched.old_mode, touched.new_mode}:
            return True
        names = _readings(touched.path) | _readings(touched.old_path)
        if any(map(self._globs.matches, names)):
            return True
        if touched.new_mode == SYMLINK and self.guards_link(touched.path):
            return True
        return any(_within(name, literal) or _within(literal, name) for name in names for literal in self._literals)

    def reason(self, touched: Touched) -> str | None:
        """Why this change waits for a person: the first pattern it meets, `submodule`, or `symbolic link`; None where it does not."""
        if not self.covers(touched):
            return None
        if GITLINK in {touched.old_mode, touched.new_mode}:
            return "submodule"
        parts = [name.split("/") for name in sorted(_readings(touched.path) | _readings(touched.old_path))]
        return next((pattern for pattern, glob in self._patterns if any(map(glob.matches, parts))), "symbolic link")


def _readings(path: bytes) -> set[str]:
    """The path as it is and as Windows reads it: a backslash separates; dots and blanks that end a name, and a stream's name, are lost."""
    name = folded(path)
    if _WINDOWS.search(name) is None:
        return {name}
    return {name, "/".join(part.partition(":")[0].rstrip(" .") or part for part in name.replace("\\", "/").split("/"))}


def _within(path: str, directory: str) -> bool:
    return path == directory or path.startswith(f"{directory}/")


def _visited(path: bytes, links: Mapping[bytes, bytes]) -> set[bytes]:
    """The paths a reader of `path` comes by: each link on the way and where it ends. A target outside the tree ends the walk."""
    visited = set[bytes]()
    for _ in range(_MAX_HOPS):
        visited.add(path)
        link = next((prefix for prefix in _prefixes(path) if prefix in links), None)
        if link is None:
            break
        visited.add(link)
        joined = posixpath.normpath(posixpath.join(posixpath.dirname(link), links[link], path[len(link) :].lstrip(b"/")))
        if joined.startswith((b"/", b"..")) or joined == b".":
            break
        path = joined
    return visited


def _prefixes(path: bytes) -> Iterable[bytes]:
    parts = path.split(b"/")
    return (b"/".join(parts[:length]) for length in range(1, len(parts) + 1))
