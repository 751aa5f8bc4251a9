"""Cuts a stream of bytes into lines of bounded length. No I/O."""

from dataclasses import dataclass

MAX_LINE_BYTES = 1024 * 1024
"""An agent's JSON line with a large file in it is shorter; what is beyond is cut, and the line says so."""


@dataclass(frozen=True)
class Line:
    """One line without its end."""

    text: str
    cut: bool = False


class LineSplitter:
    """Keeps at most one line's worth of bytes."""

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max = max_line_bytes
        self._begun = bytearray()
        self._cut = False

    def feed(self, data: bytes) -> list[Line]:
        """The lines that `data` completes."""
        first, *ends = data.split(b"\n")
        self._take(first)
        if not ends:
            return []
        *whole, rest = ends
        lines = [self._whole(), *(_line(end, self._max) for end in whole)]
        self._take(rest)
        return lines

    def flush(self) -> list[Line]:
        """The last line, where it has no end."""
        return [self._whole()] if self._begun or self._cut else []

    def _take(self, part: bytes) -> None:
        room = self._max - len(self._begun)
        self._begun += part[:room]
        self._cut = self._cut or len(part) > room

    def _whole(self) -> Line:
        line = Line(bytes(self._begun).decode("utf-8", "replace"), self._cut)
        self._begun.clear()
        self._cut = False
        return line


def _line(data: bytes, max_bytes: int) -> Line:
    return Line(data[:max_bytes].decode("utf-8", "replace"), len(data) > max_bytes)
