"""The roots of a log at the sizes that checkpoints name, and which entries are to blame where one differs.

Two logs are grown: of the hashes that are kept, and of those computed from the entries. Where they differ, the root says which of the
two was sealed; where neither was, the range between the two checkpoints is named. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from services.audit.findings import Finding, Kind
from services.audit.merkle import Frontier

_CHUNK = 4_096


@dataclass(frozen=True)
class _Mismatch:
    index: int
    name: str
    kept: bytes
    computed: bytes


class Ranges:
    """Takes each entry's two hashes in the order of the log; every call gives the findings that it settles."""

    def __init__(self, known: Mapping[int, bytes]) -> None:
        self._known = known
        self._due = sorted(known, reverse=True)
        self._kept = Frontier()
        self._computed = Frontier()
        self._pending: list[tuple[bytes, bytes]] = []
        self._mismatches: list[_Mismatch] = []
        self._proved_size = 0
        self._lost = False

    def take(self, index: int, name: str, *, kept: bytes, computed: bytes) -> list[Finding]:
        """The hashes of entry `index`, which findings call `name`."""
        self._pending.append((kept, computed))
        if kept != computed:
            self._mismatches.append(_Mismatch(index, name, kept, computed))
        if len(self._pending) >= _CHUNK:
            self._grow()
        findings: list[Finding] = []
        while self._due and self._due[-1] <= index + 1:
            findings += self._settle(self._due.pop())
        return findings

    def close(self) -> list[Finding]:
        """What is left behind the last checkpoint: the kept hash is all there is to compare with."""
        return self._blame(Kind.FLIPPED)

    def _settle(self, size: int) -> list[Finding]:
        self._grow()
        expected = self._known[size]
        if not self._lost and self._fits(self._kept, size):
            self._computed = self._kept
            findings = self._blame(Kind.FLIPPED)
        elif not self._lost and self._fits(self._computed, size):
            self._kept = self._computed
            findings = self._blame(Kind.HASH)
        else:
            findings = [*self._blame(Kind.FLIPPED), *self._lose(size, expected)]
        self._proved_size = size
        return findings

    def _fits(self, frontier: Frontier, size: int) -> bool:
        return frontier.size == size and frontier.root == self._known[size]

    def _lose(self, size: int, expected: bytes) -> list[Finding]:
        """Behind the first root that differs every other one does: it is said once."""
        if self._lost:
            return []
        self._lost = True
        message = f"something in the entries {self._proved_size} to {size - 1} is not what was sealed: the root at size {size} differs"
        return [Finding(Kind.ROOT, message, self._proved_size, expected.hex(), self._kept.root.hex())]

    def _blame(self, kind: Kind) -> list[Finding]:
        findings = [_finding(kind, item) for item in self._mismatches]
        self._mismatches.clear()
        return findings

    def _grow(self) -> None:
        alike = self._kept == self._computed and all(kept == computed for kept, computed in self._pending)
        self._kept = self._kept.extended(kept for kept, _ in self._pending)
        self._computed = self._kept if alike else self._computed.extended(computed for _, computed in self._pending)
        self._pending.clear()


def _finding(kind: Kind, item: _Mismatch) -> Finding:
    if kind is Kind.HASH:
        message = f"entry {item.index} ({item.name}) is what was sealed, but the hash beside it was changed"
        return Finding(kind, message, item.index, item.computed.hex(), item.kept.hex())
    message = f"entry {item.index} ({item.name}) is not what its hash was made of"
    return Finding(kind, message, item.index, item.kept.hex(), item.computed.hex())
