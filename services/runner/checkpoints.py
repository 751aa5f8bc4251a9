"""Checkpoints on the bus: stored as blobs under one manifest, told as one fact, and found again by another attempt.

The manifest is stored after everything it names, and the fact after the manifest: so a fact never names what is not there.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from services.runner import manifest
from services.runner.doors import Spending
from services.runner.errors import CheckpointRefused
from services.runner.manifest import MAX_MANIFEST_BYTES, MAX_PACKS, MAX_PIECES, Manifest
from services.runner.sandbox import Growth, Point, SessionPlace, Snapshot, Taken
from shared.blobs.errors import BlobCorrupt, BlobMissing, BlobTooLarge
from shared.blobs.store import BlobStore
from shared.bus.connection import Bus
from shared.bus.lease import Lease
from shared.events import envelope
from shared.events.commands import RunnerStart
from shared.events.envelope import AnyEnvelope, Envelope
from shared.events.facts import RunCheckpointed
from shared.events.ids import GitSha, SessionId
from shared.events.values import BlobClass, BlobRef, Usage

log = structlog.get_logger()

_PIECE_BYTES = 256 * 1024
MAX_SESSION_BYTES = MAX_PIECES * _PIECE_BYTES

Tell = Callable[[RunCheckpointed, int], Awaitable[None]]
"""Publishes the fact of an attempt's checkpoint with this number."""


@dataclass(frozen=True)
class Found:
    """What an attempt begins with."""

    spent: Usage = field(default_factory=Usage)
    """By the attempts of the run before this one, as far as it is known."""
    answers: int = 0
    """Of the model, likewise."""
    point: Point | None = None
    manifest: Manifest | None = None
    refused: bool = False
    """There is a checkpoint, and it cannot be gone on from."""


@dataclass(frozen=True)
class Bounds:
    """How much one attempt's checkpoints may be."""

    pack_bytes: int
    """Of one pack."""
    stored_bytes: int
    """Of all that they put into the store, which all runs share: an agent that turns its files over could fill it for days."""


class Checkpoints:
    """The Keeper of one attempt."""

    def __init__(self, blobs: BlobStore, command: RunnerStart, found: Found, bounds: Bounds, lease: Lease, tell: Tell) -> None:  # noqa: PLR0917 - each of another type
        self._blobs = blobs
        self._command = command
        self._found = found
        self._bounds = bounds
        self._stored_bytes = 0
        self._lease = lease
        self._tell = tell
        self._number = 0
        self._last = found.manifest

    @property
    def may_keep(self) -> bool:
        """See Keeper."""
        return self._lease.alive

    def begin_anew(self) -> None:
        """See Keeper."""
        self._last = None

    def snapshot(self, base_sha: GitSha, place: SessionPlace, *, last: bool) -> Snapshot:
        """See Keeper. A chain of packs is begun anew before it gets too long."""
        before = None if last else self._last
        if before is None:
            return Snapshot(base_sha, place, MAX_SESSION_BYTES)
        chained = 0 < len(before.packs) < MAX_PACKS and before.pack_bytes < self._bounds.pack_bytes / 2
        return Snapshot(base_sha, place, MAX_SESSION_BYTES, before.tree_sha, before.tree_sha if chained else None)

    async def keep(self, taken: Taken, session_id: SessionId, spending: Spending, *, last: bool) -> None:
        """See Keeper. The last one is stored whatever the others took: it may have to wait for a person."""
        if self._stored_bytes >= self._bounds.stored_bytes and not last:
            raise CheckpointRefused(f"the attempt's checkpoints take {self._stored_bytes} bytes of the store already")
        before = None if last else self._last
        made = Manifest(
            run_id=self._command.run_id,
            agent=self._command.agent,
            session_id=session_id,
            session=await self._session(taken.session, frozenset(before.session if before is not None else ())),
            base_sha=self._command.base_sha,
            tree_sha=taken.tree_sha,
            packs=await self._packs(taken, before),
            usage=plus(self._found.spent, spending.usage),
            answers=self._found.answers + (spending.answers or 0),
        )
        named = await self._blobs.put_bytes(BlobClass.CHECKPOINT, made.model_dump_json().encode())
        if not self._lease.alive:
            raise CheckpointRefused("the lease is lost")
        self._number += 1
        fact = RunCheckpointed(run_id=self._command.run_id, fence=self._lease.fence, checkpoint=named, usage=spending.usage)
        await self._tell(fact, self._number)
        self._last = made
        log.info("run_checkpointed", growth=taken.growth, session_bytes=made.session_bytes, packs=len(made.packs))

    async def _session(self, path: Path, stored: frozenset[BlobRef]) -> tuple[BlobRef, ...]:
        """In pieces; those that the last checkpoint had are stored already."""
        pieces = list[BlobRef]()
        with await asyncio.to_thread(path.open, "rb") as file:
            while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
                ref = BlobRef(blob_class=BlobClass.CHECKPOINT, sha256=hashlib.sha256(piece).hexdigest(), size_bytes=len(piece))
                pieces.append(ref if ref in stored else self._counted(await self._blobs.put_bytes(BlobClass.CHECKPOINT, piece)))
        return tuple(pieces)

    def _counted(self, ref: BlobRef) -> BlobRef:
        self._stored_bytes += ref.size_bytes
        return ref

    async def _packs(self, taken: Taken, before: Manifest | None) -> tuple[BlobRef, ...]:
        earlier = before.packs if before is not None else ()
        match taken.growth:
            case Growth.BASE:
                return ()
            case Growth.SAME:
                return earlier
            case Growth.WHOLE:
                return (self._counted(await self._blobs.put_file(BlobClass.CHECKPOINT, taken.pack)),)
            case Growth.MORE:
                return (*earlier, self._counted(await self._blobs.put_file(BlobClass.CHECKPOINT, taken.pack)))


async def find(bus: Bus, blobs: BlobStore, command: Envelope[RunnerStart], room: Path, max_pack_bytes: int) -> Found:
    """The run's last checkpoint, or the one that its command names; fetched into `room`. Raises ReadFailed."""
    start = command.data
    fact = await bus.last_fact(envelope.subject(RunCheckpointed, command.owner, command.task))
    own = _of_this_run(fact, start)
    named = own.checkpoint if own is not None else start.resume
    if named is None:
        return Found()
    try:
        whole = manifest.read(await blobs.get_bytes(named, MAX_MANIFEST_BYTES), start.agent, start.base_sha)
        _within(whole, max_pack_bytes)
        point = Point(whole.session_id, await _joined(blobs, whole, room), whole.tree_sha, await _fetched(blobs, whole, room))
    except (CheckpointRefused, BlobMissing, BlobCorrupt, BlobTooLarge) as error:
        log.warning("checkpoint_refused", error=type(error).__name__, detail=str(error))
        return Found(own.usage if own is not None else Usage(), refused=True)
    if whole.run_id != start.run_id:  # another run's budget was another
        return Found(point=point, manifest=whole)
    return Found(whole.usage, whole.answers, point, whole)


def _within(whole: Manifest, max_pack_bytes: int) -> None:
    if whole.session_bytes > MAX_SESSION_BYTES or whole.pack_bytes > 2 * max_pack_bytes:
        raise CheckpointRefused("the manifest names more than is ever taken")


def _of_this_run(fact: AnyEnvelope | None, start: RunnerStart) -> RunCheckpointed | None:
    if fact is None or not isinstance(fact.data, RunCheckpointed) or fact.data.run_id != start.run_id:
        return None
    return fact.data


async def _joined(blobs: BlobStore, whole: Manifest, room: Path) -> Path:
    session = room / "resumed.session"
    with await asyncio.to_thread(session.open, "wb") as file:
        for piece in whole.session:
            await asyncio.to_thread(file.write, await blobs.get_bytes(piece, _PIECE_BYTES))
    return session


async def _fetched(blobs: BlobStore, whole: Manifest, room: Path) -> tuple[Path, ...]:
    packs = tuple(room / f"resumed.{number}.pack" for number in range(len(whole.packs)))
    for ref, pack in zip(whole.packs, packs, strict=True):
        await blobs.get_file(ref, pack)
    return packs


def plus(one: Usage, other: Usage) -> Usage:
    """What both spent."""
    return Usage(
        input_tokens=one.input_tokens + other.input_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        cost_usd=round(one.cost_usd + other.cost_usd, 6),
        requests=one.requests + other.requests,
    )
