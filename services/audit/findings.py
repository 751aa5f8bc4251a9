"""What can be found wrong with a log, and in which words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from services.audit.gaps import Break, Gap, Intruder, Repeated, Swapped


class Kind(StrEnum):
    """What is wrong."""

    FLIPPED = "flipped"
    """The entry's bytes are not those that its hash was made of."""
    HASH = "hash"
    """The entry is what was sealed, and the hash kept beside it is not its hash."""
    COLUMN = "column"
    """A column for searching does not say what the entry says: it would be found by the wrong people, or not at all."""
    REMOVED = "removed"
    INSERTED = "inserted"
    SWAPPED = "swapped"
    TRUNCATED = "truncated"
    GAP = "gap"
    """Messages of a stream are not in the log."""
    ROOT = "root"
    """Something among these entries is not what was sealed."""
    CHECKPOINT = "checkpoint"
    """What should be a checkpoint is none, is not signed by the key, or contradicts another one."""
    UNSEALED = "unsealed"
    """No published checkpoint holds: nothing is proved."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    kind: Kind
    message: str
    index: int | None = None
    """The entry it is about; the first of them where it is about several."""
    expected: str = ""
    got: str = ""


@dataclass(frozen=True)
class Report:
    """What was verified. `sealed` entries are proved when `verified`; `unsealed` ones came after the last published checkpoint."""

    verified: bool
    entries: int
    sealed: int
    unsealed: int
    checkpoints: int
    """Published checkpoints whose signature holds."""
    streams: Mapping[str, int]
    """The last sequence number of each stream."""
    findings: Sequence[Finding]
    more_findings: int = 0
    """How many more there were than are listed."""


def of_break(item: Break) -> Finding:
    """A break in a stream's sequence numbers as a finding."""
    match item:
        case Gap(stream, first, last, index):
            what = f"{stream} {first}" if first == last else f"{stream} {first} to {last}"
            return Finding(Kind.GAP, f"{what} is not in the log before entry {index}", index, f"{stream} {first}", f"{stream} {last + 1}")
        case Intruder(stream, sequence, expected, index):
            message = f"entry {index} ({stream} {sequence}) does not belong there: its stream goes on without it"
            return Finding(Kind.INSERTED, message, index, f"{stream} {expected}", f"{stream} {sequence}")
        case Swapped(stream, sequence, expected, index, other):
            message = f"entries {index} and {other} ({stream} {sequence} and {expected}) stand in each other's place"
            return Finding(Kind.SWAPPED, message, index, f"{stream} {expected}", f"{stream} {sequence}")
        case Repeated(stream, sequence, expected, index):
            message = f"entry {index} ({stream} {sequence}) comes after its stream had gone on"
            return Finding(Kind.INSERTED, message, index, f"{stream} {expected}", f"{stream} {sequence}")
