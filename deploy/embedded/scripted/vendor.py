"""What a vendor's protocol is to a scripted model: how its requests are read and how a step is said in it. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from deploy.embedded.scripted.steps import Work

Document = dict[str, Any]


@dataclass(frozen=True)
class Turn:
    """One answer to be given."""

    body: Document
    work: Work
    number: int
    """Of the request; names the answer."""
    done: int
    """Tool calls answered so far; names the next call, so that a repeated request gets the same answer."""
    input_tokens: int
    output_tokens: int


class Vendor(Protocol):
    """One vendor's protocol."""

    @property
    def name(self) -> str:
        """As credentials name it."""
        ...

    @property
    def path(self) -> str:
        """Where requests come in."""
        ...

    def key(self, headers: Mapping[str, str]) -> str:
        """The key that was sent; empty where there is none."""
        ...

    def conversation(self, body: Document) -> str:
        """What tells one conversation from another; the same for each of its requests."""
        ...

    def done(self, body: Document) -> int:
        """How many tool calls have been answered in it."""
        ...

    def works(self, body: Document) -> bool:
        """Whether it asks for work; an agent may also want a title or a summary, and offers no tools then."""
        ...

    def whole(self, turn: Turn) -> Document:
        """The answer as one document."""
        ...

    def events(self, turn: Turn) -> list[Document]:
        """The answer as a stream; each event has a `type`."""
        ...

    def error(self, kind: str) -> Document:
        """The body of an error."""
        ...

    def failure(self, kind: str) -> Document:
        """An error as an event of a stream that has begun well."""
        ...


def text_of(value: Any) -> str:
    """A value where text is expected: itself, or nothing."""
    return value if isinstance(value, str) else ""
