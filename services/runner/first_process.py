"""The connection to a container's first process: one for the words that follow each other, let go of before anything of an agent runs."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from services.runner import attendant
from services.runner.docker_process import within
from services.runner.docker_stream import Endpoint, ProcessStream
from services.runner.errors import SandboxUnavailable

STEP_SECONDS = 300
"""The longest a step or script of ours may take; a big repository loads and harvests in seconds."""


class FirstProcess:
    """The first process of one container, joined from its start on. `must_run(looks)` raises SandboxGone where the container has died."""

    def __init__(self, endpoint: Endpoint, container_id: str, stream: ProcessStream, must_run: Callable[[int], Awaitable[None]]) -> None:
        self._endpoint = endpoint
        self._container_id = container_id
        self._stream: ProcessStream | None = stream
        self._must_run = must_run

    async def asked(self, word: str, source: Path | int = 0, seconds: float = STEP_SECONDS) -> tuple[int, str]:
        """Lets it take a step (see attendant): its exit code and the beginning of what it complained about. One word at a time.

        Raises SandboxGone, SandboxUnavailable, EngineUnreachable; whoever asks after that joins it anew.
        """
        try:
            async with within(seconds):
                return await self._answer(word, source)
        except BaseException:
            await self.leave()
            raise

    async def leave(self) -> None:
        """Lets go of the connection; the process waits for whoever joins it."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.close()

    async def _answer(self, word: str, source: Path | int) -> tuple[int, str]:
        if self._stream is None:
            self._stream = await ProcessStream.attach(self._endpoint, self._container_id)
            await self._must_run(1)  # after joining it: a process that ended before would leave us waiting for its start
        answer = await attendant.asked(self._stream, word, source)
        if answer is None:
            await self._must_run(10)
            raise SandboxUnavailable(f"the first process did not answer: {word}")
        return answer
