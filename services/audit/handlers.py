"""Question in, answer out: what is a refusal on the bus is decided here."""

from services.audit.answers import Answers
from services.audit.errors import NothingSealed
from shared.bus.errors import Refused
from shared.events.questions import AskCheckpoint, AskTrail, Checkpoint, TrailPage


class Handlers:
    """The questions that the audit service answers."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    async def entries(self, question: AskTrail) -> TrailPage:
        """`rpc.audit.entries`: the owner's own entries."""
        return await self._answers.entries(question)

    async def checkpoint(self, _question: AskCheckpoint) -> Checkpoint:
        """`rpc.audit.checkpoint`: the newest published checkpoint, or `not_found` while there is none."""
        try:
            return await self._answers.checkpoint()
        except NothingSealed as error:
            raise Refused("not_found") from error
