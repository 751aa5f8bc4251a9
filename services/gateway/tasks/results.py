"""`/v1/tasks/{task_id}/messages`, `/changes` and `/patch`: what a task made, as it is stored. Nothing here is ever markup."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Response

from services.gateway.errors import NotYet
from services.gateway.parts import CallerOf, Parts, PartsOf
from services.gateway.tasks import messages, position
from services.gateway.tasks.endpoints import load
from services.gateway.tasks.large import LargeResponse
from services.gateway.tasks.schemas import Messages
from services.gateway.tokens import Caller
from shared.events.changes import ChangesDocument
from shared.events.ids import TaskId
from shared.events.values import BlobRef

router = APIRouter(prefix="/v1/tasks", tags=["tasks"])


@router.get("/{task_id}/messages")
async def history(
    parts: PartsOf,
    caller: CallerOf,
    task_id: TaskId,
    limit: Annotated[int, Query(ge=1, le=messages.MAX_PAGE)] = 200,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> Messages:
    """What the agent said and did, in order; while it runs, so far."""
    progress = (await load(parts, caller, task_id)).progress
    place = messages.parse(cursor) if cursor else messages.Place()
    parts.require_bus()
    if progress.view.transcript is None:
        where = position.subjects(caller.owner, task_id)
        return await messages.from_stream(parts.bus.read, where, place, limit, ended=progress.ended)
    async with parts.turns.of(caller.owner):
        return await _from_transcripts(parts, (*progress.view.earlier_transcripts, progress.view.transcript), place, limit)


async def _from_transcripts(parts: Parts, transcripts: Sequence[BlobRef], place: messages.Place, limit: int) -> Messages:
    """The first page behind `place`, of the run that has one. The end of one transcript is not the end while another follows."""
    page = Messages(messages=[], next_cursor=None)
    for number, ref in enumerate(transcripts, start=1):
        transcript = await parts.blobs.get_bytes(ref, parts.settings.max_transcript_bytes)
        page = await asyncio.to_thread(messages.from_transcript, transcript, place, limit)
        if page.messages:
            last = page.messages[-1]
            more = page.next_cursor or (str(messages.Place(last.fence, last.number)) if number < len(transcripts) else None)
            return Messages(messages=page.messages, next_cursor=more)
    return page


@router.get("/{task_id}/changes", response_model=ChangesDocument)
async def changes(parts: PartsOf, caller: CallerOf, task_id: TaskId) -> Response:
    """What the task changed, file by file."""
    view = (await load(parts, caller, task_id)).progress.view
    if view.changes is None:
        raise NotYet("The task has no stored change, or none yet.")
    parts.require_bus()
    # As git wrote it: parsing megabytes to write the same again would only cost time.
    return _sent(parts, caller, view.changes, {"content-type": "application/json"})


@router.get("/{task_id}/patch", response_class=Response, responses={200: {"content": {"text/x-diff": {"schema": {"type": "string"}}}}})
async def patch(parts: PartsOf, caller: CallerOf, task_id: TaskId) -> Response:
    """The change as one patch, as `git apply` takes it."""
    view = (await load(parts, caller, task_id)).progress.view
    if view.patch is None:
        raise NotYet("The task has no stored change, or none yet.")
    parts.require_bus()
    disposition = {"content-disposition": f'attachment; filename="{task_id}.patch"'}
    # No charset: a patch holds the files' own bytes.
    return _sent(parts, caller, view.patch, {"content-type": "text/x-diff"} | disposition)


def _sent(parts: Parts, caller: Caller, ref: BlobRef, headers: Mapping[str, str]) -> Response:
    return LargeResponse(
        lambda: parts.blobs.get_bytes(ref, parts.settings.max_changes_bytes),
        parts.turns.of(caller.owner),
        headers=headers,
        write_seconds=parts.settings.stream_write_seconds,
    )
