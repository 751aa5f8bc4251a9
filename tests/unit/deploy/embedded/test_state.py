import socket
import stat
from pathlib import Path

import pytest

from deploy.embedded.state import Config, Layout, default_root, secret_once, write_atomically
from deploy.embedded.users import User

ME = User("me", 0, 0)


@pytest.mark.parametrize(
    ("environment", "root", "expected"),
    [
        ({}, True, "/var/lib/async-code"),
        ({}, False, "/checkout/.async-code"),
        ({"ASYNC_CODE_STATE_DIR": "/elsewhere"}, True, "/elsewhere"),
        ({"ASYNC_CODE_STATE_DIR": ""}, True, "/var/lib/async-code"),
    ],
)
def test_where_the_state_lies(environment: dict[str, str], root: bool, expected: str) -> None:
    assert default_root(environment, root=root, checkout=Path("/checkout")) == Path(expected)


def test_the_first_start_decides_for_good(tmp_path: Path) -> None:
    first = Config.load_or_choose(Layout(tmp_path), None)
    assert Config.load_or_choose(Layout(tmp_path), None) == first
    assert len(set(first.ports.values())) == len(first.ports)


def test_a_port_that_is_taken_meanwhile_is_chosen_anew(tmp_path: Path) -> None:
    first = Config.load_or_choose(Layout(tmp_path), None)
    with socket.create_server(("127.0.0.1", first.ports["nats"])):
        second = Config.load_or_choose(Layout(tmp_path), None)
    assert second.ports["nats"] != first.ports["nats"]
    assert (second.deployment, second.ports["auth"]) == (first.deployment, first.ports["auth"])


def test_the_operators_port_wins(tmp_path: Path) -> None:
    assert Config.load_or_choose(Layout(tmp_path), 9_999).url == "http://127.0.0.1:9999"


def test_a_secret_is_made_once_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    first = secret_once(path, ME)
    assert secret_once(path, ME) == first
    assert len(first) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    write_atomically(tmp_path / "file", b"one", mode=0o644)
    write_atomically(tmp_path / "file", b"two")
    assert (tmp_path / "file").read_bytes() == b"two"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
