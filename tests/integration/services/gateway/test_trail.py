"""`/v1/audit`: the audit service is asked as the caller and as nobody else; its bytes are passed on exactly."""

import base64
import json
from datetime import UTC, datetime

from shared.bus.connection import Bus
from shared.events.ids import TaskId, fresh
from shared.events.questions import AskCheckpoint, AskTrail, Checkpoint, TrailEntry, TrailPage

from .stack import Gateway, Person


async def test_a_person_asks_for_their_own_part(gateway: Gateway, somebody: Person) -> None:
    asked: list[AskTrail] = []
    exact = b'{"id": 1,  "spaces": "kept"}'

    async def entries(question: AskTrail) -> TrailPage:
        asked.append(question)
        data = (exact, b"\xff no json")[question.after >= 0]
        about = {"stream": "EVT", "stream_sequence": 4, "subject": "evt.x.y.-.-", "stored_at": datetime.now(UTC)}
        entry = TrailEntry.model_validate(
            {"index": question.after + 1, "data": base64.b64encode(data), "headers": base64.b64encode(b"h"), **about}
        )
        return TrailPage(entries=(entry,), next_after=7 if question.after < 0 else None)

    async def checkpoint(_question: AskCheckpoint) -> Checkpoint:
        return Checkpoint(note="origin\n1\nroot\n\n— signature\n")

    audit = await Bus.connect(gateway.nats.settings("audit"))
    audit.answer(AskTrail, entries)
    audit.answer(AskCheckpoint, checkpoint)
    await audit.start()
    try:
        page = await somebody.get("/v1/audit", limit="1")
        assert base64.b64decode(page["entries"][0]["data"]) == exact
        assert base64.b64decode(page["entries"][0]["headers"]) == b"h"
        assert page["entries"][0]["event"] == json.loads(exact)
        task = TaskId(fresh())
        rest = await somebody.get("/v1/audit", cursor=page["next_cursor"], task_id=task)
        assert (rest["next_cursor"], rest["entries"][0]["event"]) == (None, None)
        assert [(question.owner, question.task_id, question.after, question.limit) for question in asked] == [
            (somebody.id, None, -1, 1),
            (somebody.id, task, 7, 100),
        ]
        assert (await somebody.get("/v1/audit/checkpoint"))["note"].startswith("origin\n1\n")
    finally:
        await audit.stop()
