"""Extends a frontier by leaf hashes and compares its root at every size for which a root is known.

Pure. It is how the writer takes up a log that it finds, and how a reader proves one. It must never go on over a root that differs.
"""

from collections.abc import Mapping, Sequence

from services.audit.errors import TrailBroken
from services.audit.merkle import Frontier


def extend(frontier: Frontier, leaf_hashes: Sequence[bytes], known: Mapping[int, bytes]) -> Frontier:
    """The frontier after these leaves. Raises TrailBroken at the first size whose known root is another."""
    start, end = frontier.size, frontier.size + len(leaf_hashes)
    for cut in [*sorted(size for size in known if start < size < end), end]:
        frontier = frontier.extended(leaf_hashes[frontier.size - start : cut - start])
        require_root(frontier, known)
    return frontier


def require_root(frontier: Frontier, known: Mapping[int, bytes]) -> None:
    """Raises TrailBroken when the frontier's root is not the known one of its size."""
    expected = known.get(frontier.size)
    if expected is not None and frontier.root != expected:
        raise TrailBroken(f"the root at size {frontier.size} differs: expected {expected.hex()}, got {frontier.root.hex()}")
