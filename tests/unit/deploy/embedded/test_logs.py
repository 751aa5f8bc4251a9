from pathlib import Path

from deploy.embedded import logs
from deploy.embedded.supervisor import Supervisor


def test_a_small_log_stays(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text("small")
    assert not logs.rotate(tmp_path / "x.log", max_bytes=5)
    assert not logs.rotate(tmp_path / "absent.log")


def test_a_large_log_is_cut_and_the_oldest_copy_goes(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    with path.open("ab") as writer:
        for number in range(logs.KEPT + 2):
            writer.write(f"{number}\n".encode() * 100)
            writer.flush()
            assert logs.rotate(path, max_bytes=10)
        assert path.stat().st_size == 0
    kept = sorted(file.name for file in tmp_path.iterdir())
    assert kept == ["x.log", "x.log.1", "x.log.2", "x.log.3"]
    assert (tmp_path / "x.log.1").read_text().startswith("4\n")
    assert (tmp_path / "x.log.3").read_text().startswith("2\n")


def test_the_tail_is_the_end(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text("".join(f"{number}\n" for number in range(10_000)))
    assert logs.tail(tmp_path / "x.log", 2) == "9998\n9999"
    assert logs.tail(tmp_path / "absent.log") == ""


def test_a_supervisor_keeps_every_log_small_also_its_own(tmp_path: Path) -> None:
    supervisor = Supervisor((), status=tmp_path / "s", log=lambda name: tmp_path / f"{name}.log", more_logs=(tmp_path / "dockerd.log",))
    assert [path.name for path in supervisor.logs] == ["supervisor.log", "dockerd.log"]
