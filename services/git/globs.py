"""Path patterns: `*` and `?` within a name, `**` over any number of directories, a bare name anywhere. Pure, no backtracking blow-up.

No character classes and no negation: a pattern that is misread must not let a file pass.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ANY = "**"


@dataclass(frozen=True, slots=True)
class Glob:
    """A pattern by its names. Case does not count; whatever lies below a match matches too."""

    names: tuple[str, ...]

    def matches(self, parts: Sequence[str]) -> bool:
        """Whether the folded path with these `parts`, or a directory above it, is what the pattern describes."""
        end = len(self.names)
        states = self._reached({0})
        for part in parts:
            states = self._reached(
                {
                    state if self.names[state] == ANY else state + 1
                    for state in states
                    if state < end and _match_name(self.names[state], part)
                }
            )
            if end in states:
                return True
        return False

    def is_below(self, parts: Sequence[str]) -> bool:
        """Whether the pattern describes things below the folded path by name: `.github` for `.github/workflows`."""
        start = self.names[: len(parts)]
        return len(parts) < len(self.names) and ANY not in start and all(map(_match_name, start, parts))

    def _reached(self, states: set[int]) -> set[int]:
        """These positions in the pattern, and those behind a `**`, which may stand for nothing."""
        for state in sorted(states):
            following = state
            while following < len(self.names) and self.names[following] == ANY:
                following += 1
                states.add(following)
        return states


def compile_glob(pattern: str) -> Glob:
    """The glob of a pattern. Without a slash (but at its end) it holds in every directory, as in .gitignore."""
    cleaned = pattern.casefold().strip().removeprefix("./")
    anchored = "/" in cleaned.rstrip("/")
    names = [name for name in cleaned.split("/") if name]
    while len(names) > 1 and names[-1] == ANY:
        names.pop()  # what lies below a match matches anyway
    return Glob(tuple(names) if anchored else (ANY, *names))


class GlobSet:
    """Many globs, sorted so that most paths meet few of them."""

    def __init__(self, globs: Iterable[Glob]) -> None:
        self._anywhere = set[str]()
        self._by_first: dict[str, list[Glob]] = {}
        self._others: list[Glob] = []
        for glob in globs:
            plain = [not ({"*", "?"} & set(name)) for name in glob.names]
            if glob.names[:1] == (ANY,) and plain[1:] == [True]:
                self._anywhere.add(glob.names[1])
            elif plain[0]:
                self._by_first.setdefault(glob.names[0], []).append(glob)
            else:
                self._others.append(glob)

    def matches(self, path: str) -> bool:
        """Whether any glob matches the folded path."""
        parts = path.split("/")
        if not self._anywhere.isdisjoint(parts):
            return True
        return any(glob.matches(parts) for glob in (*self._by_first.get(parts[0], ()), *self._others))

    def is_above(self, path: str) -> bool:
        """Whether the folded path is a directory on the way to something a glob describes."""
        parts = path.split("/")
        return any(glob.is_below(parts) for glob in (*self._by_first.get(parts[0], ()), *self._others))


def _match_name(pattern: str, name: str) -> bool:
    """`*` and `?` by the usual two pointers; `**` takes any name."""
    position, index, star, mark = 0, 0, -1, 0
    while index < len(name):
        if position < len(pattern) and pattern[position] == "*":
            star, mark, position = position, index, position + 1
        elif position < len(pattern) and pattern[position] in {"?", name[index]}:
            position, index = position + 1, index + 1
        elif star >= 0:
            mark += 1
            position, index = star + 1, mark
        else:
            return False
    return all(rest == "*" for rest in pattern[position:])
