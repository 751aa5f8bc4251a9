"""Whether a log is what was published of it, entry by entry; and where it is not, which entry is wrong and how.

Pure: rows come in, in the order of their index; findings come out. It trusts the verifier key alone. Every leaf hash is computed anew from
the entry's bytes, every column that is derived from them is derived again, and at every size that a checkpoint names the root is compared.
"""

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields

from services.audit import checkpoint, findings
from services.audit.checkpoint import VerifierKey
from services.audit.entry import Description, Entry, describe
from services.audit.errors import CheckpointInvalid
from services.audit.findings import Finding, Kind, Report
from services.audit.gaps import Continuity
from services.audit.ranges import Ranges

MAX_FINDINGS = 1_000
"""A log of which nothing is right must not fill the memory with saying so."""


@dataclass(frozen=True, slots=True)
class Row:
    """An entry as it is stored: where, with which columns and which hash."""

    index: int
    entry: Entry
    description: Description
    leaf_hash: bytes

    @property
    def name(self) -> str:
        """What a finding calls it."""
        return f"{self.entry.stream} {self.entry.stream_sequence}"


class Verification:
    """Takes what was published, what the source keeps of it, then every row; `report` closes it."""

    def __init__(self, key: VerifierKey, published: str, recorded: Sequence[str]) -> None:
        self._key = key
        self._findings: list[Finding] = []
        self._more = 0
        self._known: dict[int, bytes] = {}
        self._published = self._take_published(published)
        self._sealed = max(self._known, default=0)
        for number, note in enumerate(recorded, 1):
            self._take_note(f"recorded checkpoint {number}", note)
        self._ranges = Ranges(self._known)
        self._continuity = Continuity()
        self._entries = 0
        self._next = 0

    def take(self, row: Row) -> None:
        """The next row."""
        self._entries += 1
        if row.index != self._next:
            self._find(self._misplaced(row))
        self._next = max(self._next, row.index + 1)
        self._find(*self._ranges.take(row.index, row.name, kept=row.leaf_hash, computed=row.entry.leaf_hash()))
        self._find(*_wrong_columns(row))
        self._continuity.follow(row.index, row.entry.stream, row.entry.stream_sequence)

    def report(self) -> Report:
        """What came out."""
        self._find(*self._ranges.close(), *map(findings.of_break, self._continuity.close()), *self._ends())
        return Report(
            verified=not self._findings,
            entries=self._entries,
            sealed=self._sealed,
            unsealed=max(self._next - self._sealed, 0),
            checkpoints=self._published,
            streams=dict(self._continuity.reached()),
            findings=tuple(self._findings),
            more_findings=self._more,
        )

    def _take_published(self, text: str) -> int:
        """How many of the published notes hold. What stands among or after them and is none is found."""
        notes, rest = checkpoint.split_notes(text)
        held = sum([self._take_note(f"published checkpoint {number}", note) for number, note in enumerate(notes, 1)])
        if rest:
            message = f"what follows published checkpoint {len(notes)} is no checkpoint"
            self._find(Finding(Kind.CHECKPOINT, message, got=ascii(rest[:80])))
        return held

    def _take_note(self, what: str, note: str) -> bool:
        try:
            point = checkpoint.verify(note, self._key)
        except CheckpointInvalid as error:
            self._find(Finding(Kind.CHECKPOINT, f"{what}: {error}"))
            return False
        known = self._known.setdefault(point.size, point.root)
        if known != point.root:
            message = f"{what} gives size {point.size} another root than an earlier one: the key signed two histories"
            self._find(Finding(Kind.CHECKPOINT, message, None, known.hex(), point.root.hex()))
        return known == point.root

    def _misplaced(self, row: Row) -> Finding:
        expected, got = str(self._next), str(row.index)
        if row.index < self._next:
            return Finding(Kind.INSERTED, f"entry {row.index} ({row.name}) comes after entry {self._next - 1}", row.index, expected, got)
        one = row.index == self._next + 1
        message = f"entry {self._next} is missing" if one else f"entries {self._next} to {row.index - 1} are missing"
        return Finding(Kind.REMOVED, message, self._next, expected, got)

    def _ends(self) -> Iterable[Finding]:
        largest = max(self._known, default=0)
        if self._next < largest:
            message = f"the log ends before entry {self._next}, but a checkpoint covers {largest} entries"
            yield Finding(Kind.TRUNCATED, message, self._next, str(largest), str(self._next))
        if not self._published:
            yield Finding(Kind.UNSEALED, "no published checkpoint holds: nothing is proved")

    def _find(self, *found: Finding) -> None:
        room = MAX_FINDINGS - len(self._findings)
        self._findings += found[:room]
        self._more += len(found[room:])


def _wrong_columns(row: Row) -> Iterable[Finding]:
    derived = describe(row.entry.subject, row.entry.data)
    if derived == row.description:
        return
    for column, expected, got in zip(fields(Description), astuple(derived), astuple(row.description), strict=True):
        if expected != got:
            message = f"the {column.name} kept beside entry {row.index} ({row.name}) is not the one in it"
            yield Finding(Kind.COLUMN, message, row.index, str(expected), str(got))
