import asyncio
from typing import cast

import pytest

from services.runner import docker_process
from services.runner.docker_process import heard
from services.runner.docker_stream import ProcessStream
from services.runner.errors import EngineUnreachable, SandboxGone
from services.runner.sandbox import Stream


class Looks:
    """What the engine answers when it is asked after the container: each of these, then that it is gone."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)

    async def __call__(self) -> None:
        answer = self.answers.pop(0) if self.answers else SandboxGone("it is gone")
        if answer is not None:
            raise answer


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_process, "LOOK_SECONDS", 0.01)


def opened(*pieces: bytes, ended: bool = False) -> ProcessStream:
    """A stream on which this has come."""
    reader = asyncio.StreamReader()
    for piece in pieces:
        reader.feed_data(piece)
    if ended:
        reader.feed_eof()
    return ProcessStream(reader, cast("asyncio.StreamWriter", None))


def frame(number: int, said: bytes) -> bytes:
    return bytes([number, 0, 0, 0]) + len(said).to_bytes(4, "big") + said


async def test_what_is_said_is_heard_to_the_end() -> None:
    stream = opened(frame(1, b"out"), frame(2, b"err"), ended=True)
    assert [piece async for piece in heard(stream, Looks())] == [(Stream.STDOUT, b"out"), (Stream.STDERR, b"err")]


async def test_a_stream_that_stays_open_is_left_when_the_container_is_gone() -> None:
    """And what was said before is heard; half a piece, and an engine that is away for a moment, end nothing."""
    stream, said = opened(frame(1, b"out"), frame(2, b"half")[:6]), list[bytes]()

    async def listen() -> None:
        async for _, piece in heard(stream, Looks(None, EngineUnreachable("away"))):
            said.append(piece)

    with pytest.raises(SandboxGone):
        await listen()
    assert said == [b"out"]
