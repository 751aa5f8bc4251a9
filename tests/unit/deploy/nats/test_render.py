"""What is written before the server starts."""

import json
import stat
from pathlib import Path

from deploy.nats import topology
from deploy.nats.render import RenderSettings, render


def settings(directory: Path) -> RenderSettings:
    return RenderSettings(state=directory / "nats", port=4222, monitor_port=8222, store_bytes=1_000_000)


def test_every_user_has_a_secret_seed_that_stays(tmp_path: Path) -> None:
    render(settings(tmp_path))
    files = {user.name: settings(tmp_path).seed_file(user.name) for user in topology.USERS}
    seeds = {name: file.read_bytes() for name, file in files.items()}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files.values()} == {0o600}
    assert stat.S_IMODE((tmp_path / "nats" / "nkeys").stat().st_mode) == 0o700
    assert all(seed.startswith(b"SU") for seed in seeds.values())
    assert len(set(seeds.values())) == len(topology.USERS)
    first = settings(tmp_path).config_file.read_text()
    render(settings(tmp_path))
    assert {name: file.read_bytes() for name, file in files.items()} == seeds
    assert settings(tmp_path).config_file.read_text() == first


def test_the_configuration_holds_no_secret_and_binds_the_monitor_to_loopback(tmp_path: Path) -> None:
    render(settings(tmp_path))
    text = settings(tmp_path).config_file.read_text()
    for user in topology.USERS:
        assert settings(tmp_path).seed_file(user.name).read_text() not in text
    written = json.loads(text)
    assert written["http"] == "127.0.0.1:8222"
    assert written["listen"] == "127.0.0.1:4222"
    assert written["jetstream"]["sync_interval"] == "always"
    with_streams = {name for name, account in written["accounts"].items() if account.get("jetstream")}
    assert with_streams == {"APP", "AUDIT"}
    assert set(written["accounts"]) == {"APP", "AUDIT", "SYS", *(user.home for user in topology.USERS)}
    assert all(len(account.get("users", [])) <= 1 for account in written["accounts"].values())


def test_tls_is_written_when_it_is_set(tmp_path: Path) -> None:
    secured = RenderSettings(state=tmp_path, port=1, tls_certificate=Path("/c.pem"), tls_key=Path("/k.pem"))
    render(secured)
    assert json.loads(secured.config_file.read_text())["tls"] == {"cert_file": "/c.pem", "key_file": "/k.pem"}
