"""What the handlers need from the outside, so that a test can give them plain objects."""

from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import SecretBytes

from shared.events.envelope import AnyEnvelope, Envelope
from shared.events.payload import Value
from shared.events.questions import Question
from shared.events.values import BlobClass, BlobRef
from shared.secrets.context import Context

A = TypeVar("A", bound=Value)


class Messages(Protocol):
    """The bus, as far as this service speaks."""

    async def publish(self, envelope: Envelope[Any]) -> None:
        """Returns when the fact is stored."""
        ...

    async def ask(self, question: Question[A], timeout_seconds: float = 5) -> A:
        """Raises NoAnswer, Refused."""
        ...

    async def last_fact(self, subject: str) -> AnyEnvelope | None:
        """The last fact on a subject."""
        ...


class Blobs(Protocol):
    """The blob store."""

    async def put_file(self, blob_class: BlobClass, path: Path) -> BlobRef:
        """Raises BlobTooLarge, BlobStoreFull."""
        ...

    async def put_bytes(self, blob_class: BlobClass, data: bytes) -> BlobRef:
        """Raises BlobTooLarge, BlobStoreFull."""
        ...

    async def get_file(self, ref: BlobRef, path: Path) -> None:
        """Raises BlobMissing, BlobCorrupt."""
        ...


class Opener(Protocol):
    """The keyring."""

    def open(self, sealed: bytes, context: Context) -> SecretBytes:
        """Raises SecretsError."""
        ...


class Turn(Protocol):
    """One delivery of a command."""

    @property
    def deliveries(self) -> int:
        """Counts from 1."""
        ...
