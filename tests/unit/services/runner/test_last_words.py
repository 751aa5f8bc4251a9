import os
import time
from pathlib import Path

from services.runner.last_words import KEPT_BYTES, KEPT_FILES, KEPT_SECONDS, LastWords


def test_only_the_end_is_kept_and_only_the_owner_reads_it(tmp_path: Path) -> None:
    path = LastWords(tmp_path / "sandboxes").keep("run.1", {"ExitCode": 137}, b"x" * KEPT_BYTES + b"the end")
    told = path.read_bytes()
    assert told.startswith(b'{"ExitCode": 137}\n')
    assert told.endswith(b"the end")
    assert len(told) < KEPT_BYTES + 100
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_oldest_go(tmp_path: Path) -> None:
    words = LastWords(tmp_path)
    for number in range(KEPT_FILES + 3):
        path = words.keep(f"run.{number}", {}, b"")
        written = time.time() - 1_000 + number
        os.utime(path, (written, written))
    words.forget(time.time())
    assert {path.stem for path in tmp_path.iterdir()} == {f"run.{number}" for number in range(3, KEPT_FILES + 3)}
    words.forget(time.time() + KEPT_SECONDS + 1)
    assert list(tmp_path.iterdir()) == []
