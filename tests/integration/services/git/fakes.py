"""Plain objects in the place of the bus and the blob store: what is said is kept, what is asked is answered from a table."""

import hashlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from shared.blobs.errors import BlobCorrupt, BlobMissing
from shared.bus.errors import NoAnswer, Refused
from shared.events.envelope import AnyEnvelope, Envelope
from shared.events.payload import Fact, Value
from shared.events.questions import Question
from shared.events.values import BlobClass, BlobRef

A = TypeVar("A", bound=Value)


@dataclass
class Conversation:
    """Answers by question type; an exception instance is raised instead."""

    answers: dict[type[Question[Any]], Value | Exception] = field(default_factory=dict[type[Question[Any]], Value | Exception])
    said: list[AnyEnvelope] = field(default_factory=list[AnyEnvelope])
    asked: list[Question[Any]] = field(default_factory=list[Question[Any]])

    async def publish(self, envelope: Envelope[Any]) -> None:
        if envelope.id not in {known.id for known in self.said}:
            self.said.append(envelope)

    async def ask(self, question: Question[A], timeout_seconds: float = 5) -> A:  # noqa: ARG002 - the port's signature
        self.asked.append(question)
        answer = self.answers.get(type(question), NoAnswer("nobody"))
        if isinstance(answer, Exception):
            raise answer
        return cast("A", answer)

    async def last_fact(self, subject: str) -> AnyEnvelope | None:
        return next((said for said in reversed(self.said) if said.nats_subject == subject), None)

    @property
    def facts(self) -> list[Fact]:
        return [said.data for said in self.said]


REFUSED = Refused("not_found")


@dataclass
class Folder:
    """A blob store in a directory."""

    directory: Path
    full: Exception | None = None

    async def put_file(self, blob_class: BlobClass, path: Path) -> BlobRef:
        return await self.put_bytes(blob_class, path.read_bytes())  # noqa: ASYNC240 - a test's small file

    async def put_bytes(self, blob_class: BlobClass, data: bytes) -> BlobRef:
        if self.full is not None:
            raise self.full
        ref = BlobRef(blob_class=blob_class, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
        (self.directory / f"{blob_class}-{ref.sha256}").write_bytes(data)
        return ref

    async def get_file(self, ref: BlobRef, path: Path) -> None:
        stored = self.path(ref)
        if not stored.is_file():
            raise BlobMissing(ref.sha256)
        if hashlib.sha256(stored.read_bytes()).hexdigest() != ref.sha256:
            raise BlobCorrupt(ref.sha256)
        shutil.copyfile(stored, path)

    def path(self, ref: BlobRef) -> Path:
        return self.directory / f"{ref.blob_class}-{ref.sha256}"
