"""A file of 50 MB, there and back: through the mirror, the snapshot, a sandbox, the pack, the patch and the push."""

import asyncio
import random

import pytest

from tests.integration.fidelity.test_line import judge
from tests.integration.fidelity.workshop import Workshop
from tests.integration.fidelity.worlds import World
from tests.servers.git_objects import Blob

SIZE = 50 * 1024 * 1024
NOISE = random.Random(50).randbytes(SIZE)  # noqa: S311 - what no compression makes small


@pytest.mark.timeout(400)
def test_a_file_of_50_mb_that_changes(workshop: Workshop, loop: "asyncio.Runner") -> None:
    base = {b"noise.bin": Blob(NOISE), b"app.py": Blob(b"print('hello')\n")}
    judge(workshop, loop, World(base, (("append", "noise.bin", "more\n"), ("append", "app.py", "more = 1\n"))))
