"""Whether each origin stream stands in the log without a gap and in order.

A mirror keeps the origin's sequence numbers and a work-queue message stays until its mirror has stored it, so every number from 1 on is
in the log once, in order. What breaks that is named here; whether it is a loss or a forgery the checkpoints say.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Gap:
    """These sequence numbers of a stream never came."""

    stream: str
    first: int
    last: int
    index: int
    """The entry that should have been the first of them."""


@dataclass(frozen=True)
class Intruder:
    """An entry ahead of its stream: the numbers before it follow after it, and its own number has another entry or is beyond the rest."""

    stream: str
    sequence: int
    expected: int
    index: int


@dataclass(frozen=True)
class Swapped:
    """Two entries of one stream stand in each other's place."""

    stream: str
    sequence: int
    expected: int
    index: int
    other_index: int


@dataclass(frozen=True)
class Repeated:
    """A sequence number that the stream has left behind."""

    stream: str
    sequence: int
    expected: int
    index: int


Break = Gap | Intruder | Swapped | Repeated


@dataclass
class _Stream:
    next: int
    ahead: Gap | None = None
    """A jump that may still turn out to be one entry too early."""
    ahead_sequence: int = 0


@dataclass
class Continuity:
    """Follows streams entry by entry. `breaks` gives what is wrong so far; `close` settles what still waited for its successor."""

    first: int = 1
    breaks: list[Break] = field(default_factory=list[Break])
    _streams: dict[str, _Stream] = field(default_factory=dict[str, _Stream])

    def follow(self, index: int, stream: str, sequence: int) -> None:
        """Take the next entry of the log."""
        state = self._streams.setdefault(stream, _Stream(next=self.first))
        if state.ahead is not None and sequence == state.ahead.first:
            self._settle_early(state, state.ahead, index)
            return
        if state.ahead is not None:
            self.breaks.append(state.ahead)
            state.ahead = None
        if sequence < state.next:
            self.breaks.append(Repeated(stream, sequence, state.next, index))
            return
        if sequence > state.next:
            state.ahead = Gap(stream, state.next, sequence - 1, index)
            state.ahead_sequence = sequence
        state.next = sequence + 1

    def _settle_early(self, state: _Stream, jump: Gap, index: int) -> None:
        """The expected number came right after the jump: the entry before was swapped with this one, or does not belong here."""
        if state.ahead_sequence == jump.first + 1:
            self.breaks.append(Swapped(jump.stream, state.ahead_sequence, jump.first, jump.index, index))
            state.next = state.ahead_sequence + 1
        else:
            self.breaks.append(Intruder(jump.stream, state.ahead_sequence, jump.first, jump.index))
            state.next = jump.first + 1
        state.ahead = None

    def close(self) -> list[Break]:
        """All breaks, in the order of the log."""
        self.breaks += [state.ahead for state in self._streams.values() if state.ahead is not None]
        for state in self._streams.values():
            state.ahead = None
        return sorted(self.breaks, key=lambda item: item.index)

    def reached(self) -> Iterator[tuple[str, int]]:
        """Each stream with the last number that followed."""
        for name, state in self._streams.items():
            yield name, state.next - 1
