"""Questions between services: asked and answered over core NATS, stored nowhere.

A question is heard by one replica of the service. Its answer is the answer's model, or a `Refusal`; nothing of an error's text leaves
the service. It must never answer a forged question (see `provenance`).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from pydantic import ValidationError

from shared.bus.client import flushed
from shared.bus.errors import NoAnswer, NotPermitted, Refused
from shared.bus.link import Link
from shared.bus.provenance import forged
from shared.events.payload import Value
from shared.events.questions import Question, Refusal

log = structlog.get_logger(__name__)

A = TypeVar("A", bound=Value)
Q = TypeVar("Q", bound=Question[Any])

Answerer = Callable[[Any], Awaitable[Value]]

_AT_ONCE = 64


async def ask(link: Link, question: Question[A], timeout_seconds: float) -> A:
    """Ask. Raises NoAnswer, Refused, NotPermitted.

    Who answers and fails at it has not said no: its database may be away for a moment. So that is no answer, and may be asked again.
    """
    began = time.monotonic()
    try:
        reply = await link.client.request(question.METHOD, question.model_dump_json().encode(), timeout=timeout_seconds)
    except (NatsError, TimeoutError) as error:
        if link.denied_since(question.METHOD, began):
            raise NotPermitted(question.METHOD) from error
        raise NoAnswer(f"{question.METHOD}: {type(error).__name__}") from error
    return _read(question, reply.data)


def _read(question: Question[A], data: bytes) -> A:
    try:
        refusal = Refusal.model_validate_json(data, extra="ignore")
    except ValidationError:
        refusal = None
    if refusal is not None:
        if refusal.refused == "internal":
            raise NoAnswer(f"{question.METHOD}: failed where it was to be answered")
        raise Refused(refusal.refused)
    try:
        return cast("A", question.ANSWER.model_validate_json(data, extra="ignore"))
    except ValidationError as error:
        raise NoAnswer(f"{question.METHOD}: the answer breaks its schema") from error


class Answers:
    """The questions that this service answers."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._answerers: list[tuple[type[Question[Any]], Answerer]] = []
        self._subscriptions: list[Subscription] = []
        self._running: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(_AT_ONCE)

    def add(self, question_type: type[Question[Any]], answerer: Answerer) -> None:
        """Answer questions of this type. Before `start`."""
        self._answerers.append((question_type, answerer))

    async def start(self) -> None:
        """Listen."""
        for question_type, answerer in self._answerers:
            self._subscriptions.append(await self._listen(question_type, answerer))
        await flushed(self._link.client)

    async def stop(self) -> None:
        """Hear nothing new, and finish what was heard."""
        for subscription in self._subscriptions:
            await subscription.unsubscribe()
        self._subscriptions.clear()
        if self._running:
            await asyncio.wait(self._running, timeout=self._link.settings.grace_seconds)
        for task in self._running:
            task.cancel()

    async def _listen(self, question_type: type[Question[Any]], answerer: Answerer) -> Subscription:
        async def hear(message: Msg) -> None:
            if not message.reply or message.subject != question_type.METHOD or forged(message.headers):
                log.error("forged_question_refused", method=question_type.METHOD)
                return
            await self._places.acquire()
            task = asyncio.create_task(self._reply(message, question_type, answerer))
            self._running.add(task)
            task.add_done_callback(self._done)

        return await self._link.listen(question_type.METHOD, hear, queue=self._link.settings.user)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._places.release()

    async def _reply(self, message: Msg, question_type: type[Question[Any]], answerer: Answerer) -> None:
        answer = await _answer(message.data, question_type, answerer)
        try:
            await self._link.client.publish(message.reply, answer.model_dump_json().encode())
        except NatsError as error:
            log.warning("answer_not_sent", method=question_type.METHOD, error=type(error).__name__)


async def _answer(data: bytes, question_type: type[Question[Any]], answerer: Answerer) -> Value:
    try:
        question = question_type.model_validate_json(data, extra="ignore")
    except ValidationError:
        return Refusal(refused="invalid")
    try:
        return await answerer(question)
    except Refused as refused:
        return Refusal(refused=refused.reason)
    except Exception:
        # The boundary: the asker learns that it failed, the log learns why.
        log.exception("question_failed", method=question_type.METHOD)
        return Refusal(refused="internal")
