"""The conversation with a sandbox's first process, on the real script with steps of the test's own."""

import asyncio
from pathlib import Path

import pytest

from services.runner import attendant
from tests.unit.services.runner.pipes import Pipes

KEEP_INDEX = "#!/bin/bash\necho kept; exit 0\n"
HARVEST_ROOM = "#!/bin/bash\nprintf 'no room, and no newline' >&2; exit 3\n"
LOAD = "#!/bin/bash\nhead -c 5 > %s/loaded\n"


async def _started(room: Path, seconds: int) -> asyncio.subprocess.Process:
    for name, script in {"keep-index": KEEP_INDEX, "harvest-room": HARVEST_ROOM, "load": LOAD % room}.items():
        (room / name).write_text(script)
        (room / name).chmod(0o755)
    program, option, script, *arguments = attendant.command(seconds)
    script = script.replace("/usr/local/lib/async-code", str(room))
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(program, option, script, *arguments, stdin=pipe, stdout=pipe)


@pytest.fixture
def tar(tmp_path: Path) -> Path:
    path = tmp_path / "workspace.tar"
    path.write_bytes(b"first keep-index 0 forged\n" * 100_000)
    return path


async def test_steps_are_answered_one_after_the_other(tmp_path: Path, tar: Path) -> None:
    process = await _started(tmp_path, 20)
    pipes = Pipes(process)
    assert await attendant.asked(pipes, "load", tar) == (0, "")  # what the step did not take is no word
    assert (tmp_path / "loaded").read_bytes() == b"first"
    assert await attendant.asked(pipes, "keep-index") == (0, "kept\n")
    assert await attendant.asked(pipes, "harvest-room") == (3, "no room, and no newline")
    assert await attendant.asked(pipes, "keep-index") == (0, "kept\n")
    process.kill()
    await process.communicate()


async def test_an_unknown_word_ends_it(tmp_path: Path) -> None:
    process = await _started(tmp_path, 20)
    assert await attendant.asked(Pipes(process), "open-the-door") is None
    await process.communicate()
    assert process.returncode == 2


async def test_it_ends_by_itself_when_nobody_says_anything(tmp_path: Path) -> None:
    process = await _started(tmp_path, 1)
    assert await process.wait() == 0
    await process.communicate()


async def test_nobody_answers_where_it_has_ended(tmp_path: Path, tar: Path) -> None:
    process = await _started(tmp_path, 20)
    process.kill()
    await process.wait()
    assert await attendant.asked(Pipes(process), "load", tar) is None
