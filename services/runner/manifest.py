"""A checkpoint's manifest: the one blob that names what another attempt goes on with. Pure.

It is written last and read first. What it names came out of a sandbox and is untrusted; it itself was made by a runner, and is checked
all the same: whoever may write checkpoints can store any bytes under their own hash.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from services.runner.errors import CheckpointRefused
from shared.events.ids import GitSha, RunId, SessionId
from shared.events.payload import Value
from shared.events.values import AgentName, BlobClass, BlobRef, Usage

MAX_MANIFEST_BYTES = 64 * 1024
MAX_PACKS = 16
MAX_PIECES = 256
"""Of a session."""


class Manifest(Value):
    """What an attempt had made and spent at a moment, and the session in which its agent can go on."""

    version: Literal[1] = 1
    run_id: RunId
    agent: AgentName
    session_id: SessionId
    session: Annotated[tuple[BlobRef, ...], Field(min_length=1, max_length=MAX_PIECES)]
    """The session file's bytes, in pieces of equal length but the last: a file that only grows leaves the earlier ones as they were."""
    base_sha: GitSha
    tree_sha: GitSha
    """Of the files' exact bytes, without any conversion: not the tree that would be published."""
    packs: Annotated[tuple[BlobRef, ...], Field(max_length=MAX_PACKS)] = ()
    """Thin packs to take in one after the other, on top of the base; none where the tree is the base's."""
    usage: Usage = Usage()
    """What all attempts of the run had spent until then: its budget is one, and another run that goes on from here has its own."""
    answers: Annotated[int, Field(ge=0)] = 0
    """Of the model, likewise."""

    @model_validator(mode="after")
    def _only_checkpoints(self) -> Self:
        if any(ref.blob_class is not BlobClass.CHECKPOINT for ref in (*self.session, *self.packs)):
            raise ValueError("a checkpoint is made of blobs of its own class")
        return self

    @property
    def session_bytes(self) -> int:
        """Of all pieces."""
        return sum(ref.size_bytes for ref in self.session)

    @property
    def pack_bytes(self) -> int:
        """Of all packs."""
        return sum(ref.size_bytes for ref in self.packs)


def read(data: bytes, agent: AgentName, base_sha: GitSha) -> Manifest:
    """The manifest of this agent on this base. Raises CheckpointRefused."""
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        raise CheckpointRefused("the manifest cannot be read") from error
    if manifest.agent != agent or manifest.base_sha != base_sha:
        raise CheckpointRefused("the manifest is of another agent, or stands on another base")
    return manifest
